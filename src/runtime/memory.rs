//! Memory of the host: how much this process may use, and allocations that may fail.

use crate::{Error, Result};
use std::fs;
use std::path::Path;

/// Bytes of memory that this process may use, if the system reports them: the minimum of the machine's memory and the limits
/// of the process's control groups (containers).
pub(crate) fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<u64> {
    machine(root).into_iter().chain(control_groups(root)).min()
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits of the process's control group and its ancestors, in both versions of the interface.
fn control_groups(root: &Path) -> Vec<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let groups = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        match controllers {
            "" => Some(("sys/fs/cgroup", "memory.max", path)),
            list if list.split(',').any(|c| c == "memory") => {
                Some(("sys/fs/cgroup/memory", "memory.limit_in_bytes", path))
            }
            _ => None,
        }
    });
    let limits = groups.flat_map(|(base, file, path)| {
        // In a container, the path may be the host's, although the container's own group is mounted at the root.
        let path = Path::new(path.trim_start_matches('/'));
        path.ancestors().map(|group| root.join(base).join(group).join(file)).collect::<Vec<_>>()
    });
    limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

/// Allocates zeroed words; `what` names their use in the error.
pub(crate) fn zeros(words: u64, what: &str) -> Result<Vec<u32>> {
    let vector = usize::try_from(words).ok().and_then(|words| bytemuck::try_zeroed_vec(words).ok());
    vector.ok_or_else(|| {
        Error::TooLarge(format!(
            "this process cannot allocate {:.1} MiB for {what}; use a smaller batch, smaller images or a smaller model",
            words as f64 * 4.0 / (1 << 20) as f64
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit found in a file system with these files.
    fn found(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        limit_below(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemFree: 7 kB\nMemTotal:  1000 kB\n");

    #[test]
    fn the_lowest_limit_of_machine_and_control_groups_applies() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[MACHINE]), Some(1_024_000));
        let v2 = ("proc/self/cgroup", "0::/user/job\n");
        let (own, around) = ("sys/fs/cgroup/user/job/memory.max", "sys/fs/cgroup/user/memory.max");
        assert_eq!(found(&[MACHINE, v2, (own, "max\n")]), Some(1_024_000));
        assert_eq!(found(&[MACHINE, v2, (own, "5000\n"), (around, "max\n")]), Some(5000));
        assert_eq!(found(&[MACHINE, v2, (own, "max\n"), (around, "4000\n")]), Some(4000));
        let container = ("sys/fs/cgroup/memory.max", "3000\n");
        assert_eq!(found(&[MACHINE, ("proc/self/cgroup", "0::/\n"), container]), Some(3000));
        let v1 = ("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/docker/0123\n");
        let mounted = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n");
        assert_eq!(found(&[MACHINE, v1, mounted]), Some(2000));
    }

    #[test]
    fn failed_allocations_name_their_use() {
        assert_eq!(zeros(3, "slot 0").unwrap(), [0; 3]);
        for words in [1 << 60, u64::MAX] {
            let error = zeros(words, "slot 0").unwrap_err().to_string();
            assert!(error.contains("slot 0") && error.contains("smaller batch"), "{error}");
        }
    }
}
