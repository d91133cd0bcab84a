// SPDX-License-Identifier: GPL-2.0

//! Network namespaces: which there are, and reading files as one of their tasks.

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;

use rustix::thread::move_into_link_name_space;
use rustix::thread::LinkNameSpaceType;

use crate::sample::NoTable;
use crate::sample::Sample;

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Space {
    /// The one that this program was started in.
    Own,
    /// One with a name, the number of one of its processes, or a path.
    Of(String),
    /// None: files that were put into a folder.
    Folder(String),
}

impl Space {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Space::Own => "this namespace",
            Space::Of(name) | Space::Folder(name) => name,
        }
    }

    fn path(name: &str) -> PathBuf {
        if name.contains('/') {
            name.into()
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("/proc/{name}/ns/net").into()
        } else {
            format!("{NAMES}/{name}").into()
        }
    }

    /// Reads what its kernel says.
    pub fn read(&self) -> Result<Sample, NoTable> {
        let path = match self {
            Space::Own => return Sample::read(),
            Space::Folder(folder) => return Sample::read_from(folder, folder),
            Space::Of(name) => Self::path(name),
        };
        // A thread of its own: whoever enters a namespace stays there.
        let reader = thread::spawn(move || {
            let failed = |what: &str, error: std::io::Error| {
                NoTable(format!("{what} {}: {error}", path.display()))
            };
            let space = File::open(&path).map_err(|error| failed("namespace", error))?;
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| failed("entering", error.into()))?;
            Sample::read()
        });
        match reader.join() {
            Ok(result) => result,
            Err(_) => Err(NoTable("reading failed".into())),
        }
    }

    /// All that can be chosen: this one, those with names, and `chosen` itself.
    pub fn all(chosen: &Space) -> Vec<Space> {
        let mut names: Vec<String> = fs::read_dir(NAMES)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        let mut all = vec![Space::Own];
        all.extend(names.into_iter().map(Space::Of));
        if !all.contains(chosen) {
            all.push(chosen.clone());
        }
        all
    }

    /// The one that comes `by` places after this one, in a circle.
    pub fn next(&self, by: isize) -> Space {
        let all = Self::all(self);
        let at = all.iter().position(|space| space == self).unwrap_or(0);
        let count = all.len() as isize;
        all[(at as isize + by).rem_euclid(count) as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_paths() {
        assert_eq!(Space::path("blue"), PathBuf::from("/run/netns/blue"));
        assert_eq!(Space::path("42"), PathBuf::from("/proc/42/ns/net"));
        assert_eq!(Space::path("/x/y"), PathBuf::from("/x/y"));
    }

    #[test]
    fn a_space_that_is_not_there_is_said_to_be() {
        let error = Space::Of("no-such-space".into()).read().unwrap_err();
        assert!(error.0.contains("no-such-space"), "{error}");
    }

    #[test]
    fn choosing_goes_round() {
        let other = Space::Of("/no/such/space".into());
        assert_eq!(other.next(1), Space::Own);
        let all = Space::all(&other);
        assert_eq!(other.next(all.len() as isize), other);
    }
}
