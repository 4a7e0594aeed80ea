//! Each object of a checkpoint damaged in each way: the error names it and says why.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A job of three epochs with rows in every table, in a folder.
fn job_in(folder: &Path) -> Job {
    block_on(async {
        let mut job = Job::new(history(Arc::new(LocalStore::new(folder))), 2);
        for round in 0..3 {
            (0..50).for_each(|key| job.put(key + 10 * round, round));
            (0..20).for_each(|time| job.add(time, round));
            job.model.full = vec![round, 5, 6];
            job.epoch(true).await;
        }
        job
    })
}

/// Restores the newest checkpoint as a new process does.
fn restore(history: &History) -> Result<Model, StoreError> {
    block_on(async {
        let manifest = history.newest_complete().await?.expect("a checkpoint is there");
        let mut model = Model::default();
        for record in manifest.operators.values() {
            restore_into(&mut model, history.restore(record, &KeyGroups::range(0, GROUPS)).await?);
        }
        Ok(model)
    })
}

fn spoil(path: &Path, how: &str) {
    let bytes = fs::read(path).unwrap();
    match how {
        "flipped" => {
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 0x10;
            fs::write(path, flipped).unwrap();
        }
        "cut" => fs::write(path, &bytes[..bytes.len() - 7]).unwrap(),
        "emptied" => fs::write(path, b"").unwrap(),
        "a folder" => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }
        _ => fs::remove_file(path).unwrap(),
    }
}

#[test]
fn each_object_of_a_checkpoint_damaged_in_each_way_is_named() {
    let folder = TempDir::new().unwrap();
    let job = job_in(folder.path());
    let manifest = job.newest.as_ref().unwrap();
    restore(&job.history).unwrap();
    let mut names: Vec<String> = manifest.objects().map(|object| object.name.clone()).collect();
    assert!(names.len() > 10);
    names.push("epochs/0000000003".to_owned());
    let ways = [
        ("flipped", "its checksum does not match its bytes"),
        ("cut", "bytes"),
        ("emptied", "it is empty"),
        ("a folder", "it is a folder"),
        ("removed", "it is not there"),
    ];
    for name in &names {
        let path = folder.path().join(job.history.place(name));
        let whole = fs::read(&path).unwrap();
        for (how, reason) in ways {
            if name.starts_with("epochs/") && how == "a folder" {
                // It is listed as what lies in it: nothing.
                continue;
            }
            spoil(&path, how);
            let error = restore(&job.history).unwrap_err();
            let named =
                matches!(&error, StoreError::Damaged { object, .. } if object.ends_with(name.as_str()));
            assert!(named && error.to_string().contains(reason), "{name} {how}: {error}");
            let _ = fs::remove_dir(&path);
            fs::write(&path, &whole).unwrap();
        }
    }
    restore(&job.history).unwrap();
}

#[test]
fn a_damaged_newest_checkpoint_is_no_reason_to_take_an_older_one_or_to_collect() {
    let folder = TempDir::new().unwrap();
    let job = job_in(folder.path());
    spoil(&folder.path().join(job.history.place("epochs/0000000003")), "cut");
    block_on(async {
        assert!(job.history.newest_complete().await.is_err());
        let before = job.history.store().list("").await.unwrap();
        assert!(job.history.collect(Incarnation(1), 1).await.is_err());
        assert_eq!(job.history.store().list("").await.unwrap(), before, "nothing is deleted in doubt");
    });
}

#[test]
fn a_manifest_that_is_gone_between_others_is_missed() {
    let folder = TempDir::new().unwrap();
    let mut job = job_in(folder.path());
    block_on(job.epoch(false));
    fs::remove_file(folder.path().join(job.history.place("epochs/0000000003"))).unwrap();
    let error = restore(&job.history).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'epochs/0000000003' is damaged: it is not there, though epoch 4 is settled"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let e = entry.unwrap();
            (e.path(), to.join(e.file_name()))
        };
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

#[test]
fn a_checkpoint_of_another_job_is_foreign() {
    let folder = TempDir::new().unwrap();
    let job = job_in(folder.path());
    copy(&folder.path().join(&job.history.folder), &folder.path().join("other"));
    let other = History::new(Arc::clone(job.history.store()), JobId::new("other"));
    let error = restore(&other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'epochs/0000000003' cannot be used: it belongs to job 'a job/with ünusual name', not 'other'"
    );
}

#[test]
fn a_manifest_under_the_name_of_another_epoch_is_foreign() {
    let folder = TempDir::new().unwrap();
    let job = job_in(folder.path());
    let place = |name: &str| -> PathBuf { folder.path().join(job.history.place(name)) };
    fs::copy(place("epochs/0000000002"), place("epochs/0000000004")).unwrap();
    let error = restore(&job.history).unwrap_err();
    assert_eq!(error.to_string(), "'epochs/0000000004' cannot be used: it was written as number 2");
}

#[test]
fn strange_files_in_the_folder_disturb_nobody() {
    let folder = TempDir::new().unwrap();
    let job = job_in(folder.path());
    for name in ["epochs/README", "epochs/.tmp-1-1", "incarnations/x", "state/notes.txt", "epochs/-5"] {
        let path = folder.path().join(job.history.place(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"hello").unwrap();
    }
    restore(&job.history).unwrap();
    block_on(job.history.collect(Incarnation(1), 1)).unwrap();
    assert!(folder.path().join(job.history.place("state/notes.txt")).exists(), "what is not ours stays");
}
