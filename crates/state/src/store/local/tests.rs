//! What only a folder can show: what the kernel is asked, full disks, leftovers, two processes.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;

/// The futures of this store are ready when they are polled.
fn now<T>(future: BoxFuture<'_, T>) -> T {
    future.now_or_never().expect("the local store blocks")
}

/// The names in a folder.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs this very test program again, with one ignored test of this module, under another program.
fn under(program: &[&str], test: &str, folder: &Path) -> Command {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("store::local::tests::{test}"),
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("THALWEG_TEST_FOLDER", folder)
        .stdin(Stdio::null());
    command
}

fn child_store() -> LocalStore {
    LocalStore::new(std::env::var_os("THALWEG_TEST_FOLDER").expect("a test starts this one as its child"))
}

#[test]
#[ignore = "the child of `a_create_is_durable_before_it_is_told`"]
fn child_creates_one_object() {
    let store = child_store();
    assert_eq!(now(store.create("new/folder/object", Bytes::from_static(b"body"))), Ok(Creation::Created));
    assert_eq!(now(store.create("new/folder/object", Bytes::from_static(b"other"))), Ok(Creation::Exists));
    fs::write(store.root.join("told"), b"").unwrap();
}

/// What the kernel was asked, as far as it matters: `fsync` with the file's name, `link`, `unlink`.
fn trace(folder: &Path) -> Vec<String> {
    let log = folder.join("trace");
    let strace =
        ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,link,linkat,unlink,unlinkat,mkdir,openat", "-o"];
    let program = [&strace[..], &[log.to_str().unwrap()]].concat();
    let status =
        under(&program, "child_creates_one_object", &folder.join("store")).stdout(Stdio::null()).status();
    assert!(status.expect("strace is installed by scripts/setup").success());
    let root = folder.join("store").to_str().unwrap().to_owned();
    let lines = fs::read_to_string(log).unwrap();
    lines.lines().filter(|line| line.contains(&root)).filter_map(|line| step(line, &root)).collect()
}

/// One line of strace in short, without numbers that differ from run to run.
fn step(line: &str, root: &str) -> Option<String> {
    let call = line.split_once(' ')?.1.trim_start();
    let name = call.split_once('(')?.0;
    let path = call.match_indices(root).last().map(|(at, _)| &call[at + root.len()..])?;
    let path = path.split(['"', '>']).next()?;
    let path = match path.rfind(TEMPORARY) {
        Some(at) => format!("{}{TEMPORARY}", &path[..at]),
        None => path.to_owned(),
    };
    match name {
        "openat" if call.contains("O_CREAT") => Some(format!("create {path}")),
        "openat" => None,
        "fsync" | "fdatasync" => Some(format!("sync {path}")),
        "link" | "linkat" => Some(format!("link {path}")),
        "unlink" | "unlinkat" => Some(format!("unlink {path}")),
        other => Some(format!("{other} {path}")),
    }
}

#[test]
fn a_create_is_durable_before_it_is_told() {
    let folder = TempDir::new().unwrap();
    assert_eq!(
        trace(folder.path()),
        [
            "mkdir ",
            "mkdir /new",
            "sync ",
            "mkdir /new/folder",
            "sync /new",
            "create /new/folder/.tmp-",
            "sync /new/folder/.tmp-",
            "link /new/folder/object",
            "unlink /new/folder/.tmp-",
            "sync /new/folder",
            // That it exists is told when it is durable, too.
            "create /new/folder/.tmp-",
            "sync /new/folder/.tmp-",
            "link /new/folder/object",
            "unlink /new/folder/.tmp-",
            "sync /new/folder",
            "create /told",
        ]
    );
}

/// A file system of 1 MiB, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Fills a small disk, finds that it is full, and goes on when there is room.
fn fills_up(store: &LocalStore) {
    let body = |byte: u8| Bytes::from(vec![byte; 200 << 10]);
    let mut kept = Vec::new();
    let error = loop {
        let name = format!("full/{}", kept.len());
        match now(store.create(&name, body(kept.len() as u8))) {
            Ok(Creation::Created) => kept.push(name),
            Ok(Creation::Exists) => panic!("{name} is new"),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "the disk is not small");
    };
    assert!(matches!(error, StoreError::Full { .. }) && error.may_pass(), "{error}");
    assert!(!kept.is_empty());
    let listed: Vec<String> = now(store.list("")).unwrap().into_iter().map(|l| l.name).collect();
    assert_eq!(listed, kept, "nothing of the failed create is there");
    assert_eq!(entries(&store.root.join("full")).len(), kept.len(), "no temporary file is left");
    for (byte, name) in (0..).zip(&kept) {
        assert_eq!(now(store.read(name)), Ok(Some(body(byte))));
    }
    now(store.delete(&kept[0])).unwrap();
    assert_eq!(now(store.create("full/after", body(9))), Ok(Creation::Created));
}

#[test]
#[ignore = "the child of `a_full_disk_is_said_and_does_no_damage`"]
fn child_fills_a_disk() {
    fills_up(&child_store());
}

/// On a tmpfs of 1 MiB; where we may not mount, in a mount namespace of our own.
#[test]
fn a_full_disk_is_said_and_does_no_damage() {
    if let Some(disk) = SmallDisk::mount() {
        return fills_up(&LocalStore::new(disk.0.path()));
    }
    let folder = TempDir::new().unwrap();
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$THALWEG_TEST_FOLDER\" && exec \"$@\"";
    let program = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"];
    let status = under(&program, "child_fills_a_disk", folder.path()).status().unwrap();
    assert!(status.success(), "neither mount nor unshare is allowed here, or the store is wrong");
}

#[test]
#[ignore = "the child of `two_processes_do_not_hold_one_folder`"]
fn child_holds_a_folder() {
    let store = child_store();
    let hold = now(store.hold("job")).unwrap();
    fs::write(store.root.join("held"), b"").unwrap();
    let waits = std::time::Duration::from_secs(60);
    std::thread::sleep(waits);
    drop(hold);
}

#[test]
fn two_processes_do_not_hold_one_folder() {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::new(folder.path());
    let mut child =
        under(&["env"], "child_holds_a_folder", folder.path()).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..1000 {
        if folder.path().join("held").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let error = now(store.hold("job")).unwrap_err();
    let by = format!("is held by process {}", child.id());
    assert!(matches!(error, StoreError::Held { .. }) && error.to_string().contains(&by), "{error}");
    now(store.hold("other job")).unwrap_err();
    now(store.hold("other-job")).expect("another folder is free");
    child.kill().unwrap();
    child.wait().unwrap();
    now(store.hold("job")).expect("a process that is killed holds nothing");
}

#[test]
fn a_hold_is_given_back_when_it_is_dropped() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (LocalStore::new(folder.path()), LocalStore::new(folder.path()));
    let hold = now(one.hold("job")).unwrap();
    assert!(matches!(now(two.hold("job")), Err(StoreError::Held { .. })));
    drop(hold);
    now(two.hold("job")).unwrap();
}

#[test]
fn leftovers_of_a_crash_are_no_objects_and_go_with_the_next_holder() {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::new(folder.path());
    now(store.create("job/epochs/1", Bytes::from_static(b"x"))).unwrap();
    now(store.create("other/epochs/1", Bytes::from_static(b"x"))).unwrap();
    for left in ["job/epochs/.tmp-7-0", "job/.tmp-7-1", "other/epochs/.tmp-7-0"] {
        fs::write(folder.path().join(left), b"half").unwrap();
    }
    assert_eq!(now(store.list("")).unwrap().len(), 2);
    let hold = now(store.hold("job")).unwrap();
    assert_eq!(entries(&folder.path().join("job")), [".lock", "epochs"]);
    assert_eq!(entries(&folder.path().join("job/epochs")), ["1"]);
    assert_eq!(
        entries(&folder.path().join("other/epochs")),
        [".tmp-7-0", "1"],
        "another job's may be in use"
    );
    assert_eq!(now(store.list("")).unwrap().len(), 2, "a lock is no object");
    drop(hold);
}

#[test]
fn a_temporary_file_of_a_process_with_our_number_is_not_ours() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    let left = folder.path().join(format!("a/{TEMPORARY}{}-0", process::id()));
    fs::write(&left, b"half").unwrap();
    let store = LocalStore::new(folder.path());
    assert_eq!(now(store.create("a/b", Bytes::from_static(b"x"))), Ok(Creation::Created));
    assert_eq!(fs::read(left).unwrap(), b"half");
}

#[test]
fn what_is_forbidden_is_said() {
    let folder = TempDir::new().unwrap();
    let denied = failure("write", Path::new("/x"), &io::Error::from(ErrorKind::PermissionDenied));
    assert_eq!(denied.to_string(), "the store refuses access: cannot write '/x': permission denied");
    fs::create_dir(folder.path().join("shut")).unwrap();
    fs::set_permissions(folder.path().join("shut"), fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may do anything.
    let may_write = fs::write(folder.path().join("shut/x"), b"").is_ok();
    let created = now(LocalStore::new(folder.path()).create("shut/a", Bytes::new()));
    assert_eq!(matches!(created, Err(StoreError::Denied { .. })), !may_write, "{created:?}");
}

#[test]
fn a_file_in_the_place_of_a_folder_is_an_error_and_no_panic() {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::new(folder.path());
    fs::write(folder.path().join("file"), b"x").unwrap();
    now(store.create("file/a", Bytes::new())).unwrap_err();
    assert_eq!(now(store.read("file/a")), Ok(None));
    assert_eq!(now(store.list("file")), Ok(Vec::new()));
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(matches!(now(store.read("folder")), Err(StoreError::Damaged { .. })));
}

#[test]
fn who_holds_a_folder_and_has_ended_has_left_a_process_behind() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(LOCK);
    let mut lock = File::options().create_new(true).read(true).write(true).open(path).unwrap();
    // No system has so many.
    write!(lock, "process 999999999").unwrap();
    let by = |lock: &mut File| held(folder.path(), lock).to_string();
    assert!(by(&mut lock).contains("a process that process 999999999, which has ended, had begun"));
    lock.set_len(0).and_then(|()| lock.rewind()).unwrap();
    write!(lock, "process {}", process::id()).unwrap();
    assert!(!by(&mut lock).contains("which has ended"));
}
