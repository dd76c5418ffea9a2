//! How much memory is free, so that a model too large is refused with a sentence and not by the system.

use std::path::Path;

use crate::SessionError;

/// Bytes that can be had without swapping, where the system says so: what the kernel calls available, or the
/// rest of a container's limit where that is less.
pub fn available_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = available_in(&info)?;
    Some(container_rest().map_or(machine, |rest| rest.min(machine)))
}

/// All memory of the machine in bytes, where the system says so.
pub fn total_bytes() -> Option<u64> {
    kib_of(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn available_in(meminfo: &str) -> Option<u64> {
    kib_of(meminfo, "MemAvailable:")
}

fn kib_of(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a container (cgroup 2) may still take; memory that only caches files counts as free.
fn container_rest() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok();
    rest_of(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?)
}

fn rest_of(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    let cached: u64 = ["inactive_file ", "active_file "]
        .iter()
        .filter_map(|key| stat.lines().find_map(|line| line.strip_prefix(key))?.trim().parse::<u64>().ok())
        .sum();
    Some(max.saturating_sub(current.saturating_sub(cached)))
}

/// Fails where less is free than needed; passes where nobody knows.
pub(crate) fn check(needed: u64, available: Option<u64>, path: &Path) -> Result<(), SessionError> {
    match available {
        Some(available) if needed > available => {
            let [needed_mib, available_mib] = [needed, available].map(|bytes| bytes >> 20);
            Err(SessionError::Memory { needed_mib, available_mib, path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_understood() {
        assert_eq!(available_in("MemTotal:  9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available_in("MemTotal:  9 kB\n"), None);
        assert_eq!(rest_of("1000\n", "700\n", "anon 1\ninactive_file 100\nactive_file 50\n"), Some(450));
        assert_eq!(rest_of("max\n", "700\n", ""), None);
    }

    #[test]
    fn too_large_is_an_error_and_unknown_is_not() {
        let check = |needed, available| check(needed, available, Path::new("m"));
        assert!(check(10, Some(10)).is_ok() && check(u64::MAX, None).is_ok());
        assert!(matches!(check(2 << 20, Some(1 << 20)), Err(SessionError::Memory { needed_mib: 2, .. })));
    }
}
