//! `striate train` on several ranks of an MPI job. Ignored where there is no `mpirun`.

mod common;

use common::*;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest time for a job to end after something went wrong; timeouts of tests are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job of `ranks` processes that train a LeNet on the CPU.
fn job(ranks: usize, dir: &Path, flags: &str) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_striate"), "train", "--distributed"]);
    prepare(&mut command, dir, flags);
    command
}

fn prepare(command: &mut Command, dir: &Path, flags: &str) {
    command.args(flags.split_whitespace()).current_dir(dir);
    // Open MPI refuses root and more processes than cores otherwise.
    for (name, value) in [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
    ] {
        command.env(name, value);
    }
}

/// Flags of a short run into the folder `out`.
fn lenet(out: &str) -> String {
    format!("--model lenet --device cpu --epochs 1 --log-every 1 --out {out}")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeed(mut command: Command) -> Result<String, Failed> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(text(&output)),
        false => Err(text(&output).into()),
    }
}

/// The losses of the first steps.
fn losses(run: &Path, steps: usize) -> Result<Vec<f64>, Failed> {
    let table = fs::read_to_string(run.join("steps.csv"))?;
    let column = table.lines().next().unwrap_or_default().split(',').position(|name| name == "loss");
    let column = column.ok_or("steps.csv has no losses")?;
    let loss = |line: &str| line.split(',').nth(column).and_then(|text| text.parse().ok());
    Ok(table.lines().skip(1).take(steps).filter_map(loss).collect())
}

fn two_ranks_train_as_one_process() -> Outcome {
    let dir = tempfile::tempdir()?;
    let printed = succeed(job(2, dir.path(), &lenet("two")))?;
    assert_eq!(printed.matches("test accuracy").count(), 1, "{printed}");
    assert!(printed.contains("ranks    2"), "{printed}");
    succeed(job(2, dir.path(), &lenet("again")))?;
    let mut alone = Command::new(env!("CARGO_BIN_EXE_striate"));
    alone.arg("train");
    prepare(&mut alone, dir.path(), &lenet("one"));
    succeed(alone)?;
    let weights = |run: &str| fs::read(dir.path().join(run).join("model.safetensors"));
    assert!(weights("two")? == weights("again")?, "two runs on two ranks have other weights");
    let [one, two] = ["one", "two"].map(|run| losses(&dir.path().join(run), 50));
    let (one, two) = (one?, two?);
    assert_eq!((one.len(), two.len()), (50, 50));
    for (step, (a, b)) in one.iter().zip(&two).enumerate() {
        assert!((a - b).abs() < 1e-5 * a.abs(), "step {step}: {a} on one process, {b} on two");
    }
    Ok(())
}

fn a_run_resumes_on_another_number_of_ranks() -> Outcome {
    let dir = tempfile::tempdir()?;
    succeed(job(2, dir.path(), &lenet("run")))?;
    let printed = succeed(job(3, dir.path(), "--resume run --epochs 2 --rank-timeout 20"))?;
    assert!(printed.contains("after step 188") && printed.contains("epoch 2/2"), "{printed}");
    let mut alone = Command::new(env!("CARGO_BIN_EXE_striate"));
    alone.arg("train");
    prepare(&mut alone, dir.path(), "--resume run --epochs 3");
    let printed = succeed(alone)?;
    assert!(printed.contains("after step 376") && printed.contains("epoch 3/3"), "{printed}");
    Ok(())
}

/// What rank 0 alone knows decides for all: the best epoch so far, and that none has been better for long.
fn a_resumed_run_ends_on_all_ranks() -> Outcome {
    let dir = tempfile::tempdir()?;
    let flags = "--model lenet --device cpu --lr 1e-9 --validation 0.1 --patience 2 --epochs 2 --out run";
    succeed(job(2, dir.path(), flags))?;
    let printed = succeed(job(2, dir.path(), "--resume run --epochs 6 --rank-timeout 20"))?;
    assert!(printed.contains("stopped: no better") && printed.contains("of those weights"), "{printed}");
    Ok(())
}

fn ranks_with_other_flags_are_named() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new("mpirun");
    for (i, seed) in ["1", "2"].into_iter().enumerate() {
        command.args(if i == 0 { &[][..] } else { &[":"] });
        command.args(["-n", "1", env!("CARGO_BIN_EXE_striate"), "train", "--distributed", "--seed", seed]);
        command.args(lenet("run").split(' '));
    }
    prepare(&mut command, dir.path(), "");
    let output = command.output()?;
    let printed = text(&output);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.contains("the flags or images of rank 1 differ from those of rank 0"), "{printed}");
    Ok(())
}

fn processes_can_be_started_by_a_flag() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command.args(["train", "--ranks", "2"]);
    prepare(&mut command, dir.path(), &lenet("run"));
    let printed = succeed(command)?;
    assert!(printed.contains("ranks    2") && dir.path().join("run/model.safetensors").exists(), "{printed}");
    Ok(())
}

fn an_error_of_all_ranks_is_reported_once() -> Outcome {
    let dir = tempfile::tempdir()?;
    for (flags, message) in [("--batch 1", "cannot be divided among 2 ranks"), ("--lr 1e30", "learning rate")]
    {
        let output = job(2, dir.path(), &format!("{} {flags}", lenet("run"))).output()?;
        let printed = text(&output);
        assert!(!output.status.success() && printed.matches(message).count() == 1, "{printed}");
        let _ = fs::remove_dir_all(dir.path().join("run"));
    }
    Ok(())
}

/// A long job whose output goes to a file, once it has a checkpoint.
#[cfg(target_os = "linux")]
fn started(dir: &Path, flags: &str) -> Result<Child, Failed> {
    let log = fs::File::create(dir.join("log"))?;
    let flags = format!("--model lenet --device cpu --epochs 1000 --checkpoint-every 10 --out run {flags}");
    let job = job(4, dir, &flags).stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
    let start = Instant::now();
    while fs::read_dir(dir.join("run/checkpoints")).map_or(0, Iterator::count) == 0 {
        if start.elapsed() > PATIENCE {
            return Err(fs::read_to_string(dir.join("log"))?.into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(job)
}

/// The process of a rank: a child of `mpirun` whose environment has its number.
#[cfg(target_os = "linux")]
fn process_of(job: &Child, rank: usize) -> Result<String, Failed> {
    let id = job.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let variables = [format!("OMPI_COMM_WORLD_RANK={rank}"), format!("PMI_RANK={rank}")];
    let is_it = |process: &&str| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|entry| variables.iter().any(|variable| variable.as_bytes() == entry))
    };
    let found = children.split_whitespace().find(is_it).ok_or("mpirun has no such child")?;
    Ok(found.to_owned())
}

/// Sends a signal to rank 2 and waits for the job to end; returns what it printed.
#[cfg(target_os = "linux")]
fn after_signal(dir: &Path, flags: &str, signal: &str) -> Result<String, Failed> {
    let mut running = started(dir, flags)?;
    let process = process_of(&running, 2)?;
    Command::new("kill").args([signal, &process]).status()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = running.try_wait()? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            running.kill()?;
            return Err(format!("the job did not end: {}", fs::read_to_string(dir.join("log"))?).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _ = Command::new("kill").args(["-KILL", &process]).stderr(Stdio::null()).status();
    let printed = fs::read_to_string(dir.join("log"))?;
    assert!(!status.success(), "{printed}");
    // The last checkpoint is intact: a run that resumes from it goes on.
    let log = dir.join("resumed");
    let mut resumed =
        job(2, dir, "--resume run").stdout(fs::File::create(&log)?).stderr(Stdio::null()).spawn()?;
    let start = Instant::now();
    while !fs::read_to_string(&log)?.contains("resumed ") {
        assert!(start.elapsed() < PATIENCE, "{}", fs::read_to_string(&log)?);
        std::thread::sleep(Duration::from_millis(50));
    }
    Command::new("kill").arg(resumed.id().to_string()).status()?;
    resumed.wait()?;
    Ok(printed)
}

#[cfg(target_os = "linux")]
fn a_killed_rank_ends_the_job() -> Outcome {
    let dir = tempfile::tempdir()?;
    let printed = after_signal(dir.path(), "", "-KILL")?;
    assert!(printed.contains("rank 2"), "{printed}");
    Ok(())
}

#[cfg(target_os = "linux")]
fn a_rank_that_does_not_answer_is_named() -> Outcome {
    let dir = tempfile::tempdir()?;
    let printed = after_signal(dir.path(), "--rank-timeout 6", "-STOP")?;
    assert!(printed.contains("rank 2 does not answer for 6 s"), "{printed}");
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::sequential();
    let available =
        Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success());
    let anywhere: &Named<fn() -> Outcome> = named![
        two_ranks_train_as_one_process,
        a_run_resumes_on_another_number_of_ranks,
        a_resumed_run_ends_on_all_ranks,
        ranks_with_other_flags_are_named,
        processes_can_be_started_by_a_flag,
        an_error_of_all_ranks_is_reported_once,
    ];
    // They find processes by their environment.
    #[cfg(target_os = "linux")]
    let linux: &Named<fn() -> Outcome> =
        named![a_killed_rank_ends_the_job, a_rank_that_does_not_answer_is_named];
    #[cfg(not(target_os = "linux"))]
    let linux: &Named<fn() -> Outcome> = &[];
    for (name, test) in anywhere.iter().chain(linux) {
        suite.add_if(available, *name, *test);
    }
    suite.run()
}
