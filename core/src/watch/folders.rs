//! Which folders to watch for changes of a file.
//!
//! The file alone would not do: a file that is replaced is another file. Its folder reports replacements, and so does the
//! folder of every symbolic link on the way, be it the file's own or a folder's: Kubernetes mounts
//! `apm-server.yml -> ..data/apm-server.yml` and `..data -> ..2026_11_24`, and swaps `..data`.
//!
//! Invariant: every folder that is returned existed, by a name that holds no symbolic link.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// As many links as Linux follows: more are a circle.
const MOST_LINKS: u32 = 40;

/// The folders whose changes may change what one of these paths leads to.
pub(super) fn of(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for file in files {
        if let Ok(path) = std::path::absolute(file) {
            follow(&path, MOST_LINKS, &mut folders);
        }
    }
    folders
}

fn follow(path: &Path, links: u32, folders: &mut BTreeSet<PathBuf>) {
    add(path, folders);
    let Some(links) = links.checked_sub(1) else {
        return;
    };
    // From the root on, the first link: behind it the way is another one.
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    for ancestor in ancestors {
        let Ok(target) = std::fs::read_link(ancestor) else {
            continue;
        };
        add(ancestor, folders);
        let (Some(folder), Ok(rest)) = (ancestor.parent(), path.strip_prefix(ancestor)) else {
            return;
        };
        let target = folder.join(target);
        let next = if rest.as_os_str().is_empty() {
            target
        } else {
            target.join(rest)
        };
        follow(&next, links, folders);
        return;
    }
}

/// The folder that `path` is in, or will be: the nearest one that exists.
fn add(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    let existing = path
        .ancestors()
        .skip(1)
        .find_map(|folder| folder.canonicalize().ok());
    folders.extend(existing);
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tollbar-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn of_one(path: PathBuf) -> Vec<PathBuf> {
        of(&[path]).into_iter().collect()
    }

    #[test]
    fn a_plain_file_needs_its_folder_and_a_missing_one_the_nearest() {
        let temp = Temp::new("plain");
        assert_eq!(of_one(temp.0.join("a.yml")), vec![temp.0.clone()]);
        assert_eq!(of_one(temp.0.join("no/such/a.yml")), vec![temp.0.clone()]);
    }

    #[test]
    fn kubernetes_needs_the_mount_and_the_folder_behind_data() {
        let temp = Temp::new("kubernetes");
        let data = temp.0.join("..2026_11_24");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("a.yml"), "").unwrap();
        symlink("..2026_11_24", temp.0.join("..data")).unwrap();
        symlink("..data/a.yml", temp.0.join("a.yml")).unwrap();
        assert_eq!(of_one(temp.0.join("a.yml")), [temp.0.clone(), data]);
    }

    #[test]
    fn a_link_to_elsewhere_needs_both_folders_and_a_linked_folder_its_parent() {
        let temp = Temp::new("elsewhere");
        let (here, there) = (temp.0.join("here"), temp.0.join("there"));
        fs::create_dir(&here).unwrap();
        fs::create_dir(&there).unwrap();
        fs::write(there.join("a.yml"), "").unwrap();
        symlink(there.join("a.yml"), here.join("a.yml")).unwrap();
        assert_eq!(of_one(here.join("a.yml")), [here, there.clone()]);
        symlink("there", temp.0.join("current")).unwrap();
        assert_eq!(
            of_one(temp.0.join("current/a.yml")),
            [temp.0.clone(), there]
        );
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let temp = Temp::new("circle");
        symlink("b", temp.0.join("a")).unwrap();
        symlink("a", temp.0.join("b")).unwrap();
        assert_eq!(of_one(temp.0.join("a")), vec![temp.0.clone()]);
        symlink(temp.0.join("self/x"), temp.0.join("self")).unwrap();
        assert!(!of_one(temp.0.join("self")).is_empty());
    }
}
