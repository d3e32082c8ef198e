//! What an interrupt kills: the running cell's process, or the compiler at work on it.

use std::collections::HashMap;

/// Kills one process at once. The checkpoint before it answers for the cell.
pub(super) fn kill(pid: u32) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: a signal to one process; if it has just ended there is nothing to interrupt.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// Kills cargo, rustc and the linker below this process, never the process that holds the variables.
pub(super) fn kill_compilers() {
    let processes = children_by_parent();
    let mut below = vec![std::process::id()];
    while let Some(parent) = below.pop() {
        for (pid, name) in processes.get(&parent).into_iter().flatten() {
            // rustup's proxies carry the names of the tools they become.
            if ["cargo", "rustc", "rustdoc", "cc", "ld", "rust-lld", "mold"].contains(&name.as_str()) {
                kill(*pid);
                below.push(*pid);
            }
        }
    }
}

/// All processes as (id, command name) by their parent's id.
fn children_by_parent() -> HashMap<u32, Vec<(u32, String)>> {
    let mut children: HashMap<u32, Vec<(u32, String)>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // `pid (name) state parent ...`; the name may hold anything, so it ends at the last parenthesis.
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let parent = stat[close + 1..].split_whitespace().nth(1).and_then(|p| p.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push((pid, stat[open + 1..close].to_owned()));
        }
    }
    children
}
