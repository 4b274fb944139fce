//! Several processes that train one network.

use super::flags::DeviceFlags;
use super::terminal;
use serde::Serialize;
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;
use striate::distributed::Ranks;
use striate::{Device, Error, Result};

/// What to install for MPI.
const INSTALL: &str =
    "install Open MPI or MPICH (Debian, Ubuntu: apt install openmpi-bin libopenmpi-dev libclang-dev)";

/// The processes that work together.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Several GPUs or machines")]
pub struct RankFlags {
    /// Work together with the other processes of this MPI job: mpirun -n 4 striate train --distributed. Each takes its part of every
    /// batch, on its own GPU
    #[arg(long)]
    #[serde(skip)]
    pub distributed: bool,
    /// Start this many processes on this machine, by mpirun, and work on all of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "distributed")]
    #[serde(skip)]
    pub ranks: Option<u32>,
    /// End the job if a process does not answer for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip)]
    pub rank_timeout: u32,
}

/// Joins the MPI job, if a flag asks for it. Only rank 0 writes from then on, except for errors.
pub fn join(flags: &RankFlags) -> Result<Option<Ranks>> {
    if !flags.distributed {
        return Ok(None);
    }
    let ranks = connect(Duration::from_secs(flags.rank_timeout.into()))?;
    terminal::silence(!ranks.is_first());
    Ok(Some(ranks))
}

#[cfg(feature = "mpi")]
fn connect(timeout: Duration) -> Result<Ranks> {
    striate::distributed::join(timeout)
}

#[cfg(not(feature = "mpi"))]
fn connect(_: Duration) -> Result<Ranks> {
    Err(without_mpi("distributed"))
}

fn without_mpi(flag: &str) -> Error {
    let problem = format!("this program was built without MPI; {INSTALL}, and build it with --features mpi");
    Error::argument(flag, problem)
}

/// Runs this command in several processes on this machine; returns the exit code.
pub fn launch(ranks: u32) -> Result<i32> {
    if !cfg!(feature = "mpi") {
        return Err(without_mpi("ranks"));
    }
    let program =
        std::env::current_exe().map_err(|e| Error::Rank(format!("cannot find this program: {e}")))?;
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string()]).arg(program).args(arguments());
    // More processes than cores, and threads that are not all on one core, for Open MPI 4 and 5; others have no such limits.
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
    command.env("OMPI_MCA_hwloc_base_binding_policy", "none");
    command.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    command.env("PRTE_MCA_hwloc_default_binding_policy", "none");
    run(command).map_err(|e| Error::argument("ranks", format!("mpirun cannot be started ({e}); {INSTALL}")))
}

/// Replaces this process, so that signals to it reach `mpirun`.
#[cfg(unix)]
fn run(mut command: Command) -> std::io::Result<i32> {
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

#[cfg(not(unix))]
fn run(mut command: Command) -> std::io::Result<i32> {
    Ok(command.status()?.code().unwrap_or(1))
}

/// The arguments of this process with `--distributed` instead of `--ranks`.
fn arguments() -> Vec<OsString> {
    let mut arguments = std::env::args_os().skip(1);
    // First of all the name of the command.
    let mut kept: Vec<OsString> = arguments.next().into_iter().chain(["--distributed".into()]).collect();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--ranks") => drop(arguments.next()),
            Some(text) if text.starts_with("--ranks=") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

/// Opens the device; for a rank, the one with its number among those on its machine.
///
/// # Errors
///
/// Also if ranks have different devices, which round differently.
pub fn open_device(flags: &DeviceFlags, ranks: Option<&Ranks>) -> Result<Device> {
    let Some(ranks) = ranks else { return flags.open() };
    let device = flags.open_nth(local_rank(ranks)?)?;
    let driver = device.adapter().map_or("", |adapter| &adapter.driver);
    // Threads do not affect results.
    let name = if device.is_gpu() { device.name() } else { "cpu".to_owned() };
    ranks.agree("the devices or drivers", format!("{name} {driver}").as_bytes())?;
    Ok(device.with_ranks(ranks.clone()))
}

/// The number of this rank among those on its machine.
fn local_rank(ranks: &Ranks) -> Result<usize> {
    let mut name = gethostname::gethostname().into_encoded_bytes();
    name.resize(256, 0);
    let names = ranks.gather(name)?;
    Ok(names[..ranks.rank()].iter().filter(|name| **name == names[ranks.rank()]).count())
}

/// How long other ranks give rank 0 to report the same error and end them.
const FOR_RANK_0: Duration = Duration::from_secs(5);

/// Ends all ranks after an error on this one.
pub fn fail(ranks: &Ranks, error: &Error) -> ! {
    // An error of all ranks is reported once, by rank 0, which ends the others.
    if !ranks.is_first() {
        std::thread::sleep(FOR_RANK_0);
    }
    terminal::silence(false);
    terminal::note(&format!("error: rank {}: {error}", ranks.rank()));
    ranks.abort(1);
    // Without MPI, there is nobody else to end.
    std::process::exit(1)
}
