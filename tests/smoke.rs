use striate::op::*;
use striate::*;

#[test]
fn smoke() {
    let cpu = Device::cpu_reference();
    let gpu = Device::select("gpu").unwrap();
    println!("{}", gpu.describe());
    let x =
        Tensor::f32([2, 3, 9, 7], (0..378).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect()).unwrap();
    let w =
        Tensor::f32([5, 3, 3, 3], (0..135).map(|i| ((i * 17 % 43) as f32) / 20.0 - 1.0).collect()).unwrap();
    let conv = Conv2d { padding: [1, 1], stride: [2, 1], ..Default::default() };
    let a = ops::conv2d(&gpu, &x, &w, None, conv).unwrap();
    let b = ops::conv2d(&cpu, &x, &w, None, conv).unwrap();
    let d = a.as_f32().iter().zip(b.as_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(d < 1e-4, "{d}");
    let ga = ops::gradients(&gpu, conv, &[&x, &w], &a).unwrap();
    let gb = ops::gradients(&cpu, conv, &[&x, &w], &a).unwrap();
    for (a, b) in ga.iter().zip(&gb) {
        let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
        let d = a.as_f32().iter().zip(b.as_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(d < 1e-3, "{d}");
    }
}
