//! `USER[:GROUP]`: names and numbers, looked up in the image's `/etc/passwd` and `/etc/group`.
//!
//! As Docker does it: a number may have an entry too, which then gives group and home; a number without one stands for
//! itself, with group 0; groups that list the user count only where no group is named.

use std::path::PathBuf;

use super::layers;
use crate::blocking;

const PASSWD: &str = "/etc/passwd";
/// Far more than any real file; one that is longer is read so far.
const FILE_LIMIT: u64 = 4 << 20;

/// The fields of a line of `/etc/passwd`. A line of an image's that has more takes no more memory for it.
const FIELDS: usize = 7;

/// A user that an image doesn't have.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    /// There is no entry of that name, and it is no number.
    #[error(
        "{what} {name:?} is not in the image's {file}; use a name that is there, or a number from 0 to 2147483647"
    )]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// As written.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// The image's files can't be read.
    #[error("{file} of the image can't be read: {source}")]
    Read {
        /// Which.
        file: &'static str,
        /// The kernel's words.
        source: std::io::Error,
    },
    /// The snapshotter keeps files where they can't be read without mounting.
    #[error(
        "user {user:?} is a name, and with this snapshotter names can't be looked up; use numbers, such as 1000:1000"
    )]
    Unreadable {
        /// As written.
        user: String,
    },
}

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Groups beside `gid`.
    pub groups: Vec<u32>,
    /// Where it is at home; `/` unless an entry says otherwise.
    pub home: Option<String>,
}

/// Looks up a user in the folders that a root is stacked of, which are on a disk that may hang.
pub(super) async fn find(user: &str, folders: Option<Vec<PathBuf>>) -> Result<Identity, UserError> {
    let name = user.to_owned();
    let found = blocking::DISK
        .run(move || look_up(&name, folders.as_deref()))
        .await;
    found.map_err(|source| UserError::Read { file: PASSWD, source })?
}

fn look_up(user: &str, folders: Option<&[PathBuf]>) -> Result<Identity, UserError> {
    let read = |file: &'static str| match folders {
        None => Ok(String::new()),
        Some(folders) => layers::read(folders, file, FILE_LIMIT)
            .map(Option::unwrap_or_default)
            .map_err(|source| UserError::Read { file, source }),
    };
    let found = resolve(user, &read(PASSWD)?, &read("/etc/group")?);
    match (found, folders) {
        (Err(UserError::Unknown { .. }), None) => Err(UserError::Unreadable {
            user: user.to_owned(),
        }),
        (found, _) => found,
    }
}

pub(super) fn resolve(user: &str, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (user, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let user = if user.is_empty() { "0" } else { user };
    let entry = entries(passwd).find(|entry| matches(entry, user));
    let field = |index: usize| entry.as_ref().and_then(|entry| entry.get(index)).copied();
    let number = |text: Option<&str>| text.and_then(id);

    let unknown = |what, name: &str, file| UserError::Unknown {
        what,
        name: name.to_owned(),
        file,
    };
    let uid = number(field(2)).or_else(|| id(user));
    let uid = uid.ok_or_else(|| unknown("user", user, "/etc/passwd"))?;
    let home = field(5).filter(|home| !home.is_empty()).map(str::to_owned);
    if wanted_group.is_empty() {
        let gid = number(field(3)).unwrap_or(0);
        let mut groups: Vec<u32> = Vec::new();
        if let Some(name) = field(0) {
            let member = |entry: &Vec<&str>| {
                entry
                    .get(3)
                    .is_some_and(|list| list.split(',').any(|one| one == name))
            };
            groups = entries(group)
                .filter(member)
                .filter_map(|entry| id(entry.get(2)?))
                .collect();
            groups.sort_unstable();
            groups.dedup();
        }
        return Ok(Identity {
            uid,
            gid,
            groups,
            home,
        });
    }
    let entry = entries(group).find(|entry| matches(entry, wanted_group));
    let gid = entry
        .and_then(|entry| id(entry.get(2)?))
        .or_else(|| id(wanted_group));
    let gid = gid.ok_or_else(|| unknown("group", wanted_group, "/etc/group"))?;
    Ok(Identity {
        uid,
        gid,
        groups: Vec::new(),
        home,
    })
}

fn entries(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.splitn(FIELDS, ':').collect())
}

/// By name or by number: both are in the same places in both files.
fn matches(entry: &[&str], wanted: &str) -> bool {
    let numbered = || {
        entry
            .get(2)
            .and_then(|number| id(number))
            .is_some_and(|number| Some(number) == id(wanted))
    };
    entry.first() == Some(&wanted) || numbered()
}

/// A user or group number; the kernel's special -1 and what Docker refuses are none.
fn id(text: &str) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|number| *number <= i32::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# old\napp:x:1000:1001::/home/app:/bin/sh\nbare:x:1002\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:root,app\napp:x:1001:\nextra:x:2000:app\n";

    fn found(user: &str) -> (u32, u32, Vec<u32>, Option<String>) {
        let Identity {
            uid,
            gid,
            groups,
            home,
        } = resolve(user, PASSWD, GROUP).unwrap();
        (uid, gid, groups, home)
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let home = |path: &str| Some(path.to_owned());
        assert_eq!(found(""), (0, 0, vec![4], home("/root")));
        assert_eq!(found("app"), (1000, 1001, vec![4, 2000], home("/home/app")));
        assert_eq!(found("1000"), (1000, 1001, vec![4, 2000], home("/home/app")));
        assert_eq!(found("app:extra"), (1000, 2000, vec![], home("/home/app")));
        assert_eq!(found("app:7"), (1000, 7, vec![], home("/home/app")));
        assert_eq!(found("4711"), (4711, 0, vec![], None));
        assert_eq!(found("4711:app"), (4711, 1001, vec![], None));
        assert_eq!(found(":extra"), (0, 2000, vec![], home("/root")));
        assert_eq!(found("bare"), (1002, 0, vec![], None));
    }

    #[test]
    fn a_missing_name_is_refused_with_where_it_was_looked_for() {
        let error = resolve("nobody", PASSWD, GROUP).unwrap_err().to_string();
        assert!(
            error.contains("nobody") && error.contains("/etc/passwd"),
            "{error}"
        );
        let error = resolve("app:staff", PASSWD, GROUP).unwrap_err().to_string();
        assert!(error.contains("staff") && error.contains("/etc/group"), "{error}");
        for user in ["-1", "2147483648", "4294967295"] {
            assert!(resolve(user, PASSWD, GROUP).is_err(), "{user}");
        }
    }

    #[test]
    fn without_files_numbers_still_work_and_names_say_why_not() {
        assert_eq!(look_up("5:6", None).unwrap().gid, 6);
        assert!(matches!(look_up("app", None), Err(UserError::Unreadable { .. })));
    }

    #[tokio::test]
    async fn while_the_disk_hangs_a_look_up_waits_and_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let hanging = blocking::DISK.fill().await;
        let found = find("7", Some(vec![folder.path().to_owned()]));
        let others = async { drop(hanging) };
        let (found, ()) = tokio::join!(found, others);
        assert_eq!(found.unwrap().uid, 7);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_look_up_fail_otherwise_than_by_name(user in ".{0,12}", passwd in ".{0,60}", group in ".{0,60}") {
            match resolve(&user, &passwd, &group) {
                Ok(_) | Err(UserError::Unknown { .. }) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
