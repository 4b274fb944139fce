//! Plans as data: placement and lifetimes of storages, results on the CPU, tuned kernels and errors.

mod common;

use common::compare_all;
use common::graphs::{random_graph, two_steps};
use std::collections::{BTreeSet, HashMap};
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::kernel::{self, Kernel};
use striate::op::*;
use striate::plan::{Algorithm, Family, Pass, Placement, Plan, ShapeClass, StorageId, Target, Tuned};
use striate::{Device, Error, Result, Session, TensorType};

/// Number of random graphs.
const GRAPHS: u64 = 60;

/// Targets that lower a graph differently.
fn targets() -> Vec<Target> {
    let mut targets = Vec::new();
    for family in [Family::Gpu, Family::Software] {
        for conv in [Algorithm::Direct, Algorithm::Im2col] {
            for scratch in [1, 600, 32 << 20] {
                let target = Target { scratch, ..Target::baseline(family).with_convolutions(conv) };
                targets.push(Target { recompute: true, ..target.clone() });
                targets.push(target);
            }
        }
    }
    targets
}

/// Replays the launches like an executor, tracking which storage each slot holds.
fn check_slots(plan: &Plan, what: &str) {
    let whole = |s: &StorageId| plan.locate(*s).0;
    let slot = |s: &StorageId| match plan.storages[whole(s).index()].placement {
        Placement::Slot(slot) => Some(slot),
        _ => None,
    };
    let mut holds: HashMap<usize, StorageId> = HashMap::new();
    let mut evicted: BTreeSet<StorageId> = BTreeSet::new();
    for (at, launch) in plan.launches.iter().enumerate() {
        let what = format!("{what}, launch {at} ({})", launch.kernel.name);
        for read in &launch.reads {
            let label = &plan.storages[read.index()].label;
            let both = launch.writes.iter().any(|w| whole(w) == whole(read));
            assert!(!both, "{what} reads and writes ranges of one buffer, {label}");
            let Some(slot) = slot(read) else { continue };
            assert_eq!(
                holds.get(&slot),
                Some(&whole(read)),
                "{what} reads {label}, but slot {slot} holds another storage"
            );
            let bound = launch.writes.iter().any(|w| placement(plan, w) == Placement::Slot(slot));
            assert!(!bound, "{what} binds slot {slot} for reading and writing");
        }
        for (i, a) in launch.writes.iter().enumerate() {
            let twice = launch.writes[..i].iter().any(|b| overlap(plan, *a, *b));
            assert!(!twice, "{what} has overlapping writes");
        }
        for write in &launch.writes {
            let (write, Some(slot)) = (&whole(write), slot(write)) else { continue };
            let label = &plan.storages[write.index()].label;
            assert!(
                plan.storages[write.index()].bytes <= plan.slots[slot],
                "{what}: {label} does not fit its slot"
            );
            assert!(!evicted.contains(write), "{what} writes {label} after its slot was reused");
            if let Some(before) = holds.insert(slot, *write)
                && before != *write
            {
                evicted.insert(before);
            }
        }
    }
    for output in &plan.outputs {
        let Some(slot) = slot(&output.storage) else { continue };
        assert_eq!(
            holds.get(&slot),
            Some(&whole(&output.storage)),
            "{what}: output {} was overwritten",
            output.name
        );
    }
    for (i, storage) in plan.storages.iter().enumerate() {
        let touched = plan.launches.iter().any(|l| l.storages().any(|s| whole(&s).index() == i));
        let placed = storage.placement != Placement::Slot(usize::MAX);
        assert!(placed || !touched, "{what}: {} is not allocated", storage.label);
    }
}

fn placement(plan: &Plan, storage: &StorageId) -> Placement {
    plan.storages[plan.locate(*storage).0.index()].placement
}

/// Whether two storages overlap in memory.
fn overlap(plan: &Plan, a: StorageId, b: StorageId) -> bool {
    let [(whole, start), (other, at)] = [a, b].map(|s| plan.locate(s));
    let [end, to] = [(start, a), (at, b)].map(|(start, s)| start + plan.storages[s.index()].bytes);
    let one_slot =
        placement(plan, &a) == placement(plan, &b) && matches!(placement(plan, &a), Placement::Slot(_));
    (whole == other || one_slot) && start < to && at < end
}

#[test]
fn every_read_finds_the_storage_in_its_slot() {
    let mut shared = 0;
    for seed in 0..GRAPHS {
        let (graph, _) = random_graph(seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for target in targets() {
            let what = format!("seed {seed}, {target:?}");
            let plan = Plan::new(&graph, &target).unwrap_or_else(|e| panic!("{what}: {e}"));
            check_slots(&plan, &what);
            let slots: u64 = plan.slots.iter().sum();
            assert!(slots <= plan.unshared_bytes(), "{what}: sharing increased memory");
            assert_eq!(
                plan.peak_bytes(),
                slots + plan.input_bytes() + plan.persistent_bytes(),
                "{what}: the peak must be the sum of its parts"
            );
            shared += (slots < plan.unshared_bytes()) as usize;
            let covered: Vec<usize> = plan.groups.iter().flat_map(|g| g.launches.clone()).collect();
            assert!(
                covered.into_iter().eq(0..plan.launches.len()),
                "{what}: groups must cover the launches in order"
            );
        }
    }
    assert!(shared > 0, "no plan shared memory");
}

#[test]
fn the_check_detects_overlapping_lifetimes() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([8])).unwrap();
    let a = graph.apply(Relu, &[x]).unwrap()[0];
    let b = graph.apply(Add, &[a, x]).unwrap()[0];
    let c = graph.apply(Add, &[a, b]).unwrap()[0];
    graph.output("c", c);
    let mut plan = Plan::new(&graph, &Target::baseline(Family::Gpu)).unwrap();
    check_slots(&plan, "as planned");
    let [a, b] = [0, 1].map(|launch: usize| plan.launches[launch].writes[0]);
    plan.storages[b.index()].placement = plan.storages[a.index()].placement;
    let found = std::panic::catch_unwind(|| check_slots(&plan, "with overlapping lifetimes in one slot"));
    assert!(found.is_err(), "overlapping lifetimes went undetected");
}

#[test]
fn sharing_memory_does_not_change_results() {
    let device = Device::cpu_reference();
    for seed in 0..GRAPHS / 3 {
        let (graph, feed) = random_graph(seed).unwrap();
        // Outputs live to the end of the step, so only scratch memory is shared.
        let mut separate = graph.clone();
        let values: Vec<ValueId> = graph.nodes().iter().flat_map(|n| n.outputs.clone()).collect();
        for (i, value) in values.into_iter().enumerate() {
            separate.output(&format!("kept {i}"), value);
        }
        // Without fusion, which would skip the rounding of intermediate results.
        let target = Target { fuse: false, ..device.target().clone() };
        let run =
            |graph: &Graph| two_steps(&device, Plan::new(graph, &target).unwrap(), &feed, seed).unwrap();
        let (shared, separate) = (run(&graph), run(&separate));
        compare_all(&format!("seed {seed}"), &shared, &separate, 0.0, 0.0).unwrap();
    }
}

#[test]
fn fusion_changes_results_only_by_rounding() {
    let device = Device::cpu_reference();
    let mut fused_graphs = 0;
    for seed in 0..GRAPHS {
        let (graph, feed) = random_graph(seed).unwrap();
        let plan = |fuse| Plan::new(&graph, &Target { fuse, ..device.target().clone() }).unwrap();
        fused_graphs += (plan(true).launches.len() < plan(false).launches.len()) as usize;
        let [fused, plain] = [true, false].map(|fuse| two_steps(&device, plan(fuse), &feed, seed).unwrap());
        compare_all(&format!("seed {seed}"), &fused, &plain, 1e-4, 1.0).unwrap();
    }
    assert!(fused_graphs > GRAPHS as usize / 10, "only {fused_graphs} graphs had anything to fuse");
}

#[test]
fn the_same_graph_gives_the_same_plan() {
    let (graph, _) = random_graph(3).unwrap();
    let [a, b] = [0; 2].map(|_| Plan::new(&graph, &Target::baseline(Family::Gpu)).unwrap());
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
}

/// A convolution of x `[64, 3, 32, 32]` to 16 channels.
fn convolution() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([64, 3, 32, 32])).unwrap();
    let weight = graph.input("weight", TensorType::f32([16, 3, 3, 3])).unwrap();
    let conv = Conv2d { padding: [1, 1], ..Default::default() };
    let y = graph.scoped("layer1.0.conv1", |g| g.apply(conv, &[x, weight])).unwrap()[0];
    graph.output("y", y);
    graph
}

fn planning_error(graph: &Graph, target: Target) -> String {
    match Plan::new(graph, &target) {
        Err(Error::TooLarge(problem)) => problem,
        other => panic!("expected an error, found {:?}", other.map(|p| p.peak_bytes())),
    }
}

#[test]
fn errors_name_the_value_that_exceeds_a_limit() {
    let graph = convolution();
    let baseline = Target::baseline(Family::Gpu);
    // The output takes 4 MiB, the input 0.75 MiB.
    for small in [
        Target { max_binding: 2 << 20, ..baseline.clone() },
        Target { max_buffer: 2 << 20, ..baseline.clone() },
    ] {
        let problem = planning_error(&graph, small);
        assert!(problem.contains("layer1.0.conv1/conv2d takes 4.0 MiB"), "{problem}");
        assert!(problem.contains("at most 2.0 MiB"), "{problem}");
    }
    let problem = planning_error(&graph, Target { max_binding: 1 << 19, ..baseline.clone() });
    assert!(problem.contains("at most 0.5 MiB"), "{problem}");
    let plan = Plan::new(&graph, &baseline).unwrap();
    let just = Target { memory: Some(plan.peak_bytes()), ..baseline.clone() };
    assert!(Plan::new(&graph, &just).is_ok());
    let problem = planning_error(&graph, Target { memory: Some(plan.peak_bytes() - 1), ..baseline.clone() });
    assert!(problem.contains("MiB of memory"), "{problem}");
    let problem = planning_error(&graph, Target { max_invocations: 100, ..baseline.clone() });
    assert!(
        problem.starts_with("kernel conv_gemm_") && problem.contains("needs workgroups of 128"),
        "{problem}"
    );
    let im2col = baseline.with_convolutions(Algorithm::Im2col);
    let problem = planning_error(&graph, Target { max_workgroups: 3, ..im2col });
    assert!(problem.contains("kernel im2col would need 1728 workgroups"), "{problem}");
}

#[test]
fn scratch_stays_within_its_limit_and_that_of_a_binding() {
    let graph = convolution();
    // A row of columns takes 3 * 9 * 32 * 4 bytes.
    let row = 3456;
    let im2col = Target::baseline(Family::Gpu).with_convolutions(Algorithm::Im2col);
    for limit in [row, 5 * row, 40 * row, 100 * row] {
        for target in [
            Target { scratch: limit, ..im2col.clone() },
            Target { scratch: 1 << 40, max_binding: limit.max(5 << 20), ..im2col.clone() },
        ] {
            let plan = Plan::new(&graph, &target).unwrap();
            let most = target.scratch.min(target.max_binding);
            let columns = plan.storages.iter().find(|s| s.label.contains("(columns)")).unwrap();
            assert!(columns.bytes <= most, "{} takes {} bytes of {most}", columns.label, columns.bytes);
            // Every output row of every image is computed once: 64 images of 32 rows.
            let launches = plan.launches.iter().filter(|l| l.kernel.name == "im2col");
            let field = |l: &striate::plan::Launch, name: &str| {
                let at = l.kernel.params.fields.iter().position(|f| f.name == name).unwrap();
                l.params[at] as usize
            };
            let mut rows = BTreeSet::new();
            for launch in launches {
                let range = |start, count| field(launch, start)..field(launch, start) + field(launch, count);
                for (image, row) in range("image_start", "images")
                    .flat_map(|image| range("row_start", "rows").map(move |row| (image, row)))
                {
                    assert!(rows.insert((image, row)), "row {row} of image {image} is computed twice");
                }
            }
            assert_eq!(rows.len(), 64 * 32);
        }
    }
}

#[test]
fn dead_nodes_are_not_planned() {
    let mut graph = convolution();
    let before = Plan::new(&graph, &Target::baseline(Family::Gpu)).unwrap().launches.len();
    let x = graph.values().next().unwrap().0;
    graph.apply(Relu, &[x]).unwrap();
    assert_eq!(Plan::new(&graph, &Target::baseline(Family::Gpu)).unwrap().launches.len(), before);
}

#[test]
fn the_new_value_of_an_unread_persistent_value_is_computed_in_place() -> Result<()> {
    let mut graph = Graph::new();
    let state = |graph: &mut Graph, name: &str| {
        graph.persistent(name, TensorType::f32([5]), PersistentKind::Buffer, Init::Constant(0.0))
    };
    let x = graph.input("x", TensorType::f32([5]))?;
    let [kept, again, read] =
        [state(&mut graph, "kept")?, state(&mut graph, "again")?, state(&mut graph, "read")?];
    let y = graph.apply(Relu, &[x])?[0];
    let sum = graph.apply(Add, &[y, read])?[0];
    graph.output("sum", sum);
    for state in [kept, again, read] {
        graph.update(state, y)?;
    }
    let plan = Plan::new(&graph, &Target::cpu(None))?;
    // The first value needs no copy. The second does, and so does the one whose old value is read.
    let kernels: Vec<&str> = plan.launches.iter().map(|l| l.kernel.name).collect();
    assert_eq!(kernels, ["relu", "add", "copy", "copy"]);
    assert_eq!(plan.storages[plan.launches[0].writes[0].index()].label, "kept");
    let mut session = Session::new(&Device::select("cpu")?, vec![plan])?;
    session.initialize(0)?;
    let x = [-1.0f32, 0.0, 1.0, 2.0, 3.0];
    for expected in [[0.0f32, 0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 2.0, 4.0, 6.0]] {
        let outputs = session.run(0, &[("x", (&x).into())])?;
        assert_eq!(outputs.get("sum").unwrap().as_f32(), expected);
    }
    for name in ["kept", "again", "read"] {
        assert_eq!(session.read(name)?.as_f32(), [0.0, 0.0, 1.0, 2.0, 3.0], "{name}");
    }
    Ok(())
}

/// The kernels of a convolution on images of `side` x `side`, and of a matrix product.
fn kernels_of(side: usize, target: &Target) -> Vec<&'static Kernel> {
    let mut graph = Graph::new();
    let mut input = |name: &str, shape: &[usize]| graph.input(name, TensorType::f32(shape)).unwrap();
    let [x, w, b] = [input("x", &[2, 10, side, side]), input("w", &[16, 10, 3, 3]), input("b", &[5, 32])];
    let y = graph.apply(Conv2d { padding: [1, 1], ..Default::default() }, &[x, w]).unwrap()[0];
    let a = graph.apply(Reshape { shape: vec![16 * side * side, 2] }, &[y]).unwrap()[0];
    let c = graph.apply(Matmul { transpose_a: true, ..Default::default() }, &[b, b]).unwrap()[0];
    graph.output("a", a);
    graph.output("c", c);
    Plan::new(&graph, target).unwrap().launches.iter().map(|l| l.kernel).collect()
}

#[test]
fn plans_use_tuned_kernels_for_their_class() {
    let class = |pass, shape: &str| ShapeClass { pass, shape: shape.to_owned() };
    let conv = class(Pass::Forward, "3x3 stride 1, 16 to 16 channels, 8x8 pixels, batch 2");
    let matmul = class(Pass::Matmul, "32x32, 8 terms, a transposed");
    let untuned = Target::baseline(Family::Gpu);
    let mut tuned = Tuned::default();
    tuned.set(conv.clone(), Some(&kernel::CONV_DIRECT));
    tuned.set(matmul, Some(&kernel::MATMUL_REGISTERS));
    let target = Target { tuned: tuned.clone(), ..untuned.clone() };

    assert_ne!(kernels_of(8, &untuned), kernels_of(8, &target));
    assert_eq!(kernels_of(8, &target), [&kernel::CONV_DIRECT, &kernel::MATMUL_REGISTERS]);
    // Sizes are rounded up to the class; larger ones belong to another.
    assert_eq!(kernels_of(7, &target), [&kernel::CONV_DIRECT, &kernel::MATMUL_REGISTERS]);
    assert_eq!(kernels_of(9, &target), [kernels_of(9, &untuned)[0], &kernel::MATMUL_REGISTERS]);

    // Requests take precedence.
    let forced = Target { kernels: vec![(Pass::Forward, &kernel::CONV_GEMM_64X64)], ..target.clone() };
    let forced_untuned = Target { tuned: Tuned::default(), ..forced.clone() };
    assert_eq!(kernels_of(8, &forced)[0], kernels_of(8, &forced_untuned)[0]);
    let im2col = target.clone().with_convolutions(Algorithm::Im2col);
    assert_eq!(kernels_of(8, &im2col)[0], &kernel::IM2COL);

    // A kernel that does not support the work is skipped.
    tuned.set(conv, Some(&kernel::CONV_REGISTER_TILED_3X3_SHUFFLE));
    let target = Target { tuned, ..untuned.clone() };
    assert_eq!(kernels_of(8, &target)[0], kernels_of(8, &untuned)[0]);
}
