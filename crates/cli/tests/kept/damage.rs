//! Objects of a checkpoint that are not what was written: the job stops with the object's name and the
//! reason, and takes no older state in their place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use thalweg_state::Checksum;

use crate::job::{COUNTS, Job, refused, stderr};

/// What can become of a file, and how.
type Deed = (&'static str, fn(&Path));

const DEEDS: [Deed; 4] = [
    ("flipped", flip),
    ("cut", cut),
    ("emptied", |path| fs::write(path, b"").expect("a file")),
    ("removed", |path| {
        fs::remove_file(path).expect("a file");
    }),
];

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("a file");
}

fn cut(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    fs::write(path, &bytes[..bytes.len() * 2 / 3]).expect("a file");
}

/// The objects that the newest checkpoint names, as `thalweg state` has them.
fn newest(job: &Job) -> (u64, PathBuf) {
    let epoch = *job.epochs().last().expect("some epoch");
    (epoch, job.manifest(epoch))
}

#[track_caller]
fn damaged(output: &Output, object: &str) {
    refused(output, 1, "checkpoint-damaged", &[object, "no older checkpoint is taken in its place"]);
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
}

#[test]
fn a_damaged_manifest_stops_the_job_and_changes_nothing() {
    for (deed, spoil) in &DEEDS[..3] {
        let job = Job::stopped();
        let (epoch, path) = newest(&job);
        let (whole, counts) = (fs::read(&path).expect("a manifest"), job.read("counts.jsonl"));
        spoil(&path);
        for _ in 0..2 {
            let output = job.run(&[]);
            println!("{deed}: {}", stderr(&output));
            damaged(&output, &format!("epochs/{epoch:010}"));
        }
        assert_eq!(job.read("counts.jsonl"), counts, "{deed}: the sink is as it was");
        // Mended, it is taken.
        fs::write(&path, whole).expect("room");
        let running = job.start(&[]);
        job.until_epoch(job.epochs().pop().expect("some") + 2);
        let said = stderr(&running.interrupt());
        assert!(said.contains(&format!("goes on from epoch {epoch}, ")), "{deed}: {said}");
    }
}

#[test]
fn a_removed_manifest_is_missed() {
    let job = Job::stopped();
    let (epoch, path) = newest(&job);
    let whole = fs::read(&path).expect("a manifest");
    fs::remove_file(&path).expect("a file");
    damaged(&job.run(&[]), &format!("epochs/{epoch:010}"));
    fs::write(&path, whole).expect("room");
    let running = job.start(&[]);
    job.until_epoch(epoch + 4);
    let said = stderr(&running.interrupt());
    assert!(said.contains(&format!("goes on from epoch {epoch}, ")), "{said}");
}

#[test]
fn a_damaged_object_of_a_table_is_named() {
    for (deed, spoil) in DEEDS {
        let job = Job::stopped();
        let json = job.state(&["show", "state", "--json"]);
        assert!(json.status.success(), "{}", stderr(&json));
        let panes = fs::read_dir(job.path("state/job/state/counts=2fwindow-aggregate"))
            .expect("the operator's tables")
            .flat_map(|table| fs::read_dir(table.expect("a table").path()).expect("its objects"))
            .map(|object| object.expect("an object").path());
        let objects: Vec<PathBuf> = panes.collect();
        assert!(!objects.is_empty());
        // Which of them the newest checkpoint needs does not matter: one of them at least is needed.
        objects.iter().for_each(|object| spoil(object));
        let output = job.run(&[]);
        println!("{deed}: {}", stderr(&output));
        damaged(&output, "'state/counts=2fwindow-aggregate/");
    }
}

#[test]
fn a_savepoint_helps_where_the_newest_checkpoint_is_damaged() {
    let job = Job::new(COUNTS);
    let running = job.start(&["--savepoint-on-stop", "good"]);
    job.until_epoch(3);
    running.interrupt();
    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 3);
    running.interrupt();
    let (epoch, path) = newest(&job);
    flip(&path);
    let output = job.run(&[]);
    damaged(&output, &format!("epochs/{epoch:010}"));
    assert!(stderr(&output).contains("--restore goes on from a savepoint: good"), "{}", stderr(&output));
    let running = job.start(&["--restore", "good"]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    running.interrupt();
    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    running.interrupt();

    flip(&job.path("state/job/savepoints/good"));
    let output = job.run(&["--restore", "good"]);
    refused(&output, 1, "checkpoint-damaged", &["savepoints/good"]);
}

#[test]
fn a_manifest_of_a_later_format_is_not_read() {
    let job = Job::stopped();
    let (epoch, path) = newest(&job);
    let bytes = fs::read(&path).expect("a manifest");
    let end = bytes.iter().position(|&b| b == b'\n').expect("a first line");
    let line = std::str::from_utf8(&bytes[..end]).expect("text");
    let (line, _) = line.rsplit_once(' ').expect("a checksum");
    let line = line.replace("thalweg 1 ", "thalweg 2 ");
    let sealed = [line.as_bytes(), &bytes[end..]].concat();
    let checksum = Checksum::of(&sealed);
    fs::write(&path, [format!("{line} {checksum}").as_bytes(), &bytes[end..]].concat()).expect("room");
    let output = job.run(&[]);
    refused(&output, 5, "checkpoint-foreign", &[&format!("epochs/{epoch:010}"), "format 2", "format 1"]);
}

#[test]
fn a_manifest_of_another_job_is_not_read() {
    let job = Job::stopped();
    let other = job.start(&["--name", "other"]);
    while !job.path("state/other/epochs/0000000003").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    other.interrupt();
    let (epoch, path) = newest(&job);
    fs::copy(job.path("state/other/epochs/0000000003"), &path).expect("room");
    let output = job.run(&[]);
    refused(&output, 5, "checkpoint-foreign", &[&format!("epochs/{epoch:010}"), "'other'", "'job'"]);
}
