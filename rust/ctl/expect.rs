// SPDX-License-Identifier: GPL-2.0

//! `/proc/net/nf_conntrack_expect`: the connections that helpers expect.
//!
//! A read walks the table without locks. Expectations that are over are not listed, even though
//! they still count.
//!
//! C counterpart's behaviour: `exp_seq_show()` in `net/netfilter/nf_conntrack_expect.c`.

use core::ptr::NonNull;
use kernel::fmt;
use kernel::fmt::Write;
use kernel::prelude::*;
use pin_init::Zeroable;

use crate::ctl::procfs::print_tuple;
use crate::linux::expect;
use crate::linux::expect::Expectation;
use crate::linux::net::Net;
use crate::linux::procfs::File;
use crate::linux::procfs::Folder;
use crate::linux::procfs::Item;
use crate::linux::procfs::NetFile;
use crate::linux::procfs::Writer;
use crate::linux::rcu::Held;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::pure::policy::expect::Flags;

/// Makes the file. CONTEXT: sleepable. The caller drops it before the namespace ends.
pub(crate) fn file(net: &Net) -> Result<File> {
    let file = File::new::<Expectations>(net, Folder::Net, c"nf_conntrack_expect", 0o440)?;
    file.give_to_root(net);
    Ok(file)
}

/// The expectations of all namespaces, of which the file's are shown.
struct Expectations;

/// Where a reader is.
#[derive(Zeroable)]
struct Place {
    /// The bucket.
    bucket: u32,
    /// How many expectations of its chain have been listed, the current one included.
    listed: u32,
}

impl Place {
    /// The next expectation of the table.
    fn advance<'rcu>(&mut self, rcu: Held<'rcu>) -> Option<&'rcu Expectation> {
        while self.bucket < expect::buckets() {
            let listed = usize::try_from(self.listed).unwrap_or(usize::MAX);
            if let Some(exp) = expect::chain(self.bucket, rcu).nth(listed) {
                self.listed = self.listed.saturating_add(1);
                return Some(exp);
            }
            self.bucket = self.bucket.saturating_add(1);
            self.listed = 0;
        }
        None
    }
}

impl Item for &Expectation {
    fn into_ptr(self) -> NonNull<c_void> {
        self.as_non_null().cast()
    }

    unsafe fn from_ptr(ptr: NonNull<c_void>) -> Self {
        // SAFETY: By this function's contract it was met in this read-side section.
        unsafe { Expectation::from_raw(ptr.as_ptr().cast()) }
    }
}

impl NetFile for Expectations {
    type Position = Place;
    type Item<'rcu> = &'rcu Expectation;

    fn start<'rcu>(
        _: &Net,
        at: &mut Place,
        pos: &mut i64,
        rcu: Held<'rcu>,
    ) -> Option<&'rcu Expectation> {
        *at = Place {
            bucket: 0,
            listed: 0,
        };
        for _ in 0..*pos {
            at.advance(rcu)?;
        }
        at.advance(rcu)
    }

    fn next<'rcu>(
        _: &Net,
        at: &mut Place,
        pos: &mut i64,
        rcu: Held<'rcu>,
    ) -> Option<&'rcu Expectation> {
        *pos = pos.wrapping_add(1);
        at.advance(rcu)
    }

    fn show<'rcu>(
        net: &Net,
        _: &mut Place,
        exp: &'rcu Expectation,
        rcu: Held<'rcu>,
        out: &mut Writer,
    ) {
        if exp.net() == net && !exp.is_over() {
            // The writer keeps note of what does not fit.
            let _ = print(out, exp, rcu);
        }
    }
}

fn print(out: &mut Writer, exp: &Expectation, rcu: Held<'_>) -> fmt::Result {
    let tuple = exp.tuple();
    write!(out, "{} ", time::now().left(exp.deadline()) / HZ)?;
    write!(out, "l3proto = {} proto={} ", tuple.src.l3, tuple.dst.proto)?;
    print_tuple(out, &tuple, tuple.dst.proto)?;
    let flags = exp.flags();
    let names = [
        (Flags::PERMANENT, "PERMANENT"),
        (Flags::INACTIVE, "INACTIVE"),
        (Flags::USERSPACE, "USERSPACE"),
    ];
    let mut delimiter = "";
    for (flag, name) in names {
        if flags.any(flag) {
            write!(out, "{delimiter}{name}")?;
            delimiter = ",";
        }
    }
    if let Some(helper) = exp.helper(rcu) {
        if flags != Flags::default() {
            out.write_str(" ")?;
        }
        out.bytes(helper.name().bytes());
        let class = helper.class_name(exp.class());
        if !class.is_empty() {
            out.write_str("/")?;
            out.bytes(class.bytes());
        }
    }
    out.write_str("\n")
}
