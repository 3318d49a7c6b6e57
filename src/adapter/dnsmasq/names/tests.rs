use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("leasepipe-names-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn open(&self) -> Names {
        Names::open(&self.0).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn line(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.0.join(name)).unwrap();
        assert!(text.starts_with(MARK), "{text}");
        text.lines().nth(1).map(str::to_owned)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn claim(label: &str, container: &str, client: &str) -> Claim {
    Claim {
        label: label.parse().unwrap(),
        domain: "lab".parse().ok(),
        owner: "edge".parse().unwrap(),
        container: container.parse().unwrap(),
        client: Key::derive("test", &[client.as_bytes()]),
        address: "fd00::1".parse().unwrap(),
    }
}

fn place(container: &str) -> Place {
    ("edge".parse().unwrap(), container.parse().unwrap())
}

#[test]
fn a_name_is_a_file_in_the_form_of_hosts() {
    let scratch = Scratch::new("form");
    let mut names = scratch.open();
    let mut wanted = claim("alpha", "web", "a");
    assert_eq!(names.put(&wanted, false).unwrap(), Claimed::Ours);
    assert_eq!(scratch.line("alpha").unwrap(), "fd00::1 alpha.lab alpha");
    // Written anew it is another file.
    let written = || fs::metadata(scratch.0.join("alpha")).unwrap().ino();
    let before = written();
    assert_eq!(names.put(&wanted, false).unwrap(), Claimed::Ours);
    assert_eq!(written(), before, "what is so is not written again");
    assert_eq!(names.put(&wanted, true).unwrap(), Claimed::Ours);
    assert_ne!(written(), before, "but told again where it has to be");
    wanted.domain = None;
    wanted.address = "fd00::2".parse().unwrap();
    names.put(&wanted, false).unwrap();
    assert_eq!(scratch.line("alpha").unwrap(), "fd00::2 alpha");
    assert_eq!(scratch.files(), ["alpha"]);
}

#[test]
fn the_first_has_the_name_until_it_gives_it_back() {
    let scratch = Scratch::new("first");
    let (mut one, mut two) = (scratch.open(), scratch.open());
    assert_eq!(one.put(&claim("alpha", "web", "a"), false).unwrap(), Claimed::Ours);
    assert_eq!(two.put(&claim("alpha", "app", "b"), false).unwrap(), Claimed::OtherClient);
    assert_eq!(two.put(&claim("alpha", "app", "a"), false).unwrap(), Claimed::SameClient);
    let mut elsewhere = claim("alpha", "web", "b");
    elsewhere.owner = "other".parse().unwrap();
    assert_eq!(two.put(&elsewhere, false).unwrap(), Claimed::OtherClient);
    // A container that is for another client now is still the one that has it.
    assert_eq!(two.put(&claim("alpha", "web", "b"), false).unwrap(), Claimed::Ours);
    let (owner, web) = place("web");
    assert!(one.give_back(&owner, &web).unwrap());
    assert!(!one.give_back(&owner, &web).unwrap());
    assert_eq!(two.put(&elsewhere, false).unwrap(), Claimed::Ours);
    // What another has by now is not taken from it by one that remembers otherwise.
    assert!(two.give_back(&owner, &web).unwrap());
    assert_eq!(scratch.files(), ["alpha"]);
}

#[test]
fn a_claim_survives_a_restart_and_so_does_a_change_of_name_that_was_cut_short() {
    let scratch = Scratch::new("restart");
    scratch.open().put(&claim("alpha", "web", "a"), false).unwrap();
    assert_eq!(scratch.open().list(None).unwrap(), [place("web")]);
    scratch.open().put(&claim("beta", "web", "a"), false).unwrap();
    assert_eq!(scratch.files(), ["beta"], "the old name is given back");

    // Killed before the old name was given back: the new one says nothing of the address yet.
    fs::write(scratch.0.join("gamma"), claim("gamma", "web", "a").head()).unwrap();
    scratch.open().put(&claim("gamma", "web", "a"), false).unwrap();
    assert_eq!(scratch.files(), ["gamma"]);
    assert_eq!(scratch.line("gamma").unwrap(), "fd00::1 gamma.lab gamma");

    // Killed behind it.
    fs::write(scratch.0.join("gamma"), claim("gamma", "web", "a").head()).unwrap();
    scratch.open().put(&claim("gamma", "web", "a"), false).unwrap();
    assert_eq!(scratch.line("gamma").unwrap(), "fd00::1 gamma.lab gamma");
}

#[test]
fn owners_are_kept_apart() {
    let scratch = Scratch::new("owners");
    let mut names = scratch.open();
    names.put(&claim("alpha", "web", "a"), false).unwrap();
    let mut other = claim("beta", "web", "b");
    other.owner = "other".parse().unwrap();
    names.put(&other, false).unwrap();
    assert_eq!(names.list(None).unwrap().len(), 2);
    assert_eq!(names.list(Some(&other.owner)).unwrap(), [(other.owner.clone(), other.container)]);
}

#[test]
fn what_others_have_put_there_is_left_alone() {
    let scratch = Scratch::new("others");
    let mut names = scratch.open();
    let texts = [
        ("router", "fd00::99 router\n"),
        ("odd", "# leasepipe names something else\nfd00::98 odd\n"),
        ("Upper", "# leasepipe names web of edge for client aaaaaaaaaaaaa; changes are lost\n"),
    ];
    for (name, text) in texts {
        fs::write(scratch.0.join(name), text).unwrap();
    }
    fs::create_dir(scratch.0.join("dir")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", scratch.0.join("link")).unwrap();
    for name in ["router", "odd", "dir", "link"] {
        assert_eq!(names.put(&claim(name, "web", "a"), false).unwrap(), Claimed::NotOurs, "{name}");
    }
    assert_eq!(names.list(None).unwrap(), []);
    names.give_back(&place("web").0, &place("web").1).unwrap();
    assert_eq!(scratch.files().len(), 5);
    for (name, text) in texts {
        assert_eq!(fs::read_to_string(scratch.0.join(name)).unwrap(), text);
    }
}
