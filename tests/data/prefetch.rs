//! Items made ahead by worker threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use striate::data::Prefetch;

use crate::assert_fails;

#[test]
fn items_are_ordered_and_bounded_by_the_depth() {
    for (threads, depth) in [(1, 1), (1, 4), (2, 1), (2, 4), (7, 4), (7, 20)] {
        let (started, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let make = {
            let (started, taken) = (started.clone(), taken.clone());
            move |i, _| {
                let started = started.fetch_add(1, Ordering::SeqCst) + 1;
                let ahead = started.saturating_sub(taken.load(Ordering::SeqCst));
                // The first item is slow; the others must not get further ahead meanwhile.
                sleep(Duration::from_millis(if i == 3 { 30 } else { 0 }));
                (i, ahead)
            }
        };
        let mut items = Prefetch::new(3..60, threads, depth, make).unwrap();
        assert_eq!(items.len(), 57);
        for expected in 3..60 {
            // Counted before it is taken, so that no worker sees a stale count.
            taken.fetch_add(1, Ordering::SeqCst);
            let (i, ahead) = items.next().unwrap();
            assert_eq!(i, expected);
            assert!(ahead <= depth, "{ahead} items started, with {threads} threads and a depth of {depth}");
        }
        assert!(items.next().is_none() && items.next().is_none());
    }
}

#[test]
fn prefetch_stays_within_its_depth_for_a_slow_consumer() {
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let mut items = Prefetch::new(0..100, 3, 4, move |_, _: Option<()>| {
        count.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    for expected in [4, 5] {
        while started.load(Ordering::SeqCst) < expected {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(50));
        assert_eq!(started.load(Ordering::SeqCst), expected);
        items.next();
    }
}

#[test]
fn dropping_it_stops_the_workers() {
    let (started, dropping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let make = {
        let (started, dropping) = (started.clone(), dropping.clone());
        move |i, _: Option<()>| {
            started.fetch_add(1, Ordering::SeqCst);
            // All items but the first wait for the drop, so that they are in progress when it starts.
            while i > 0 && !dropping.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1));
            }
            sleep(Duration::from_millis(20));
        }
    };
    let mut items = Prefetch::new(0..1000, 2, 500, make).unwrap();
    items.next();
    dropping.store(true, Ordering::SeqCst);
    drop(items);
    assert_eq!(Arc::strong_count(&started), 1, "a thread is still running");
    let started = started.load(Ordering::SeqCst);
    assert!(started < 500, "all {started} items that were requested were made");
}

#[test]
fn a_panic_in_a_worker_reaches_the_consumer() {
    for (threads, depth) in [(1, 1), (2, 4), (7, 7)] {
        let make = |i, _: Option<usize>| if i == 5 { panic!("no item {i}") } else { i };
        let mut items = Prefetch::new(0..20, threads, depth, make).unwrap();
        let mut got = Vec::new();
        let panic = catch_unwind(AssertUnwindSafe(|| got.extend(&mut items))).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "no item 5");
        assert!(got.iter().copied().eq(0..got.len()) && got.len() <= 5);
        assert!(items.next().is_none());
    }
}

#[test]
fn recycled_items_come_back_as_spares() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let make = move |i, spare: Option<Vec<usize>>| {
        let mut item = spare.unwrap_or_else(|| {
            count.fetch_add(1, Ordering::SeqCst);
            Vec::new()
        });
        item.push(i);
        item
    };
    let mut items = Prefetch::new(0..100, 2, 3, make).unwrap();
    let mut last = None;
    while let Some(item) = items.next() {
        last = item.last().copied();
        items.recycle(item);
    }
    assert_eq!(last, Some(99));
    let made = made.load(Ordering::SeqCst);
    assert!((3..=4).contains(&made), "{made} items were allocated for a depth of 3");
}

#[test]
fn empty_ranges_are_accepted_and_invalid_settings_refused() {
    let make = |i, _| i;
    assert_eq!(Prefetch::new(4..4, 2, 2, make).unwrap().next(), None);
    assert_fails("threads", Prefetch::new(0..4, 0, 2, make), &["threads: must be at least 1"]);
    assert_fails("prefetch", Prefetch::new(0..4, 2, 0, make), &["prefetch: must be at least 1"]);
}
