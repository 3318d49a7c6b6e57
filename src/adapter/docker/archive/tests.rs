use super::*;

/// What an engine 20.10 said of an image of three layers: their digests, and, in the order of its
/// archive, each directory with its `json`.
const LAYERS: [&str; 3] = [
    "sha256:9e2d97ffc2a5fdb424ac1b61486adb21922f31c5622478a26c13cd97fd399341",
    "sha256:1d883e8e47de87ee6842f8acf64ffcb6c481687390ba00637d13d0f5526599a2",
    "sha256:6247b76d30bc2af65d0b08d21d90f92f2b9fb87bf5295c40e6cf9bc7bbb1afab",
];
const TOP: &str = "5fd19512d618bf65b10f9e3fcef696a3b5fadc75c2fe9ce43de654a745d179b0";
const BOTTOM: &str = "872379373621156f25011ab93e9ad4b5bae7b18bbe332a436bf03ec540310285";
const MIDDLE: &str = "ff54a90871dc4599c3dd014d88ff778f37719c2a748a576415f57a1315abbcf0";

fn config(cmd: &str) -> String {
    format!(
        r#"{{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":{cmd},"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}}"#
    )
}

fn described(id: &str, parent: Option<&str>, top: bool) -> String {
    let parent = parent.map(|parent| format!(r#""parent":"{parent}","#)).unwrap_or_default();
    let more = if top {
        format!(r#","config":{},"architecture":"amd64""#, config(r#"["/f1"]"#))
    } else {
        String::new()
    };
    format!(
        r#"{{"id":"{id}",{parent}"created":"1970-01-01T00:00:00Z","container_config":{}{more},"os":"linux"}}"#,
        config("null")
    )
}

fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    block[156] = kind;
    block[257..262].copy_from_slice(b"ustar");
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(BLOCK), 0);
    block
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(b'0', name, content)
}

/// The archive of an engine 20.10.
fn legacy() -> Vec<u8> {
    let directory = |id: &str, parent, top, content: &[u8]| {
        [
            entry(b'5', &format!("{id}/"), b""),
            file(&format!("{id}/VERSION"), b"1.0"),
            file(&format!("{id}/json"), described(id, parent, top).as_bytes()),
            file(&format!("{id}/layer.tar"), content),
        ]
        .concat()
    };
    [
        directory(TOP, Some(MIDDLE), true, &[2; 700]),
        directory(BOTTOM, None, false, &[0; 512]),
        directory(MIDDLE, Some(BOTTOM), false, &[1; 3]),
        file("manifest.json", b"[]"),
        vec![0; 2 * BLOCK],
    ]
    .concat()
}

fn layers(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The archive, read in pieces of so many bytes, without the layers of those below `has`.
fn without(archive: &[u8], layers: &[String], has: usize, piece: usize) -> Vec<u8> {
    let mut reading = Archive::new(layers);
    let mut parts = Vec::new();
    for chunk in archive.chunks(piece) {
        reading.read(Bytes::copy_from_slice(chunk), &mut parts);
    }
    let kept = parts.iter().filter(|part| part.layer.is_none_or(|layer| layer >= has));
    kept.flat_map(|part| part.bytes.to_vec()).collect()
}

/// The files that are in an archive.
fn names(archive: &[u8]) -> Vec<String> {
    let (mut names, mut at) = (Vec::new(), 0);
    while archive[at] != 0 {
        let block: &[u8; BLOCK] = archive[at..at + BLOCK].try_into().unwrap();
        names.push(name(block).unwrap());
        at += BLOCK + padded(number(&block[124..136]).unwrap()) as usize;
    }
    names
}

#[test]
fn nothing_is_lost_of_what_is_needed() {
    let archive = legacy();
    for piece in [1, 7, 511, 512, 513, 100_000] {
        assert_eq!(without(&archive, &layers(&LAYERS), 0, piece), archive, "{piece}");
    }
}

#[test]
fn layers_that_are_there_are_left_out_of_the_archive_of_an_old_engine() {
    let archive = legacy();
    let lacks = |has: usize| {
        let left = without(&archive, &layers(&LAYERS), has, 1000);
        names(&left).into_iter().filter(|name| name.ends_with("/layer.tar")).collect::<Vec<_>>()
    };
    let file = |id: &str| format!("{id}/layer.tar");
    assert_eq!(lacks(0), [file(TOP), file(BOTTOM), file(MIDDLE)]);
    assert_eq!(lacks(1), [file(TOP), file(MIDDLE)]);
    assert_eq!(lacks(2), [file(TOP)]);
    assert!(lacks(3).is_empty());
}

#[test]
fn a_directory_that_proves_nothing_is_kept() {
    let archive = legacy();
    let mut other = layers(&LAYERS);
    other[0] = LAYERS[1].to_owned();
    assert_eq!(without(&archive, &other, 3, 1000), archive);
    let forged = String::from_utf8(archive).unwrap().replace("00:00:00Z", "00:00:01Z");
    let forged = forged.into_bytes();
    assert_eq!(without(&forged, &layers(&LAYERS), 3, 1000), forged);
}

#[test]
fn newer_engines_name_layers_by_their_digests() {
    let blob = |layer: &str| format!("blobs/sha256/{}", layer.strip_prefix("sha256:").unwrap());
    let all = LAYERS.map(|layer| file(&blob(layer), layer.as_bytes())).concat();
    let archive = [file("blobs/sha256/00", b"config"), all, vec![0; 1024]].concat();
    let left = without(&archive, &layers(&LAYERS), 2, 333);
    assert_eq!(names(&left), ["blobs/sha256/00".to_owned(), blob(LAYERS[2])]);
    // The same files twice: who lacks the upper one needs them.
    let twice = layers(&[LAYERS[0], LAYERS[1], LAYERS[0]]);
    let left = without(&archive, &twice, 2, 333);
    assert!(names(&left).contains(&blob(LAYERS[0])));
}

#[test]
fn what_stands_before_a_header_goes_with_it() {
    let blob = format!("blobs/sha256/{}", LAYERS[0].strip_prefix("sha256:").unwrap());
    let long = vec![7; 1500];
    let mut large = file(&blob, &long);
    large[124..135].copy_from_slice(b"00000000000");
    let before = entry(b'x', "PaxHeaders/x", b"13 size=1500\n16 mtime=1.2500\n");
    let archive = [before.clone(), large, file("manifest.json", b"[]"), vec![0; 1024]].concat();
    let left = without(&archive, &layers(&[LAYERS[0]]), 1, 100);
    assert_eq!(names(&left), ["manifest.json"]);
    // A name that stands before the header is not the one in it.
    let renamed = entry(b'x', "PaxHeaders/x", b"10 path=a\n");
    let archive = [renamed, file(&blob, b"x"), vec![0; 1024]].concat();
    assert_eq!(without(&archive, &layers(&[LAYERS[0]]), 1, 100), archive);
}

#[test]
fn what_is_no_such_archive_is_passed_as_it_is() {
    for strange in [vec![b'x'; 2000], vec![0; 100], [vec![0x80; 512], vec![1; 600]].concat()] {
        let passed = without(&strange, &layers(&LAYERS), 3, 99);
        assert!(strange.starts_with(&passed) && strange.len() - passed.len() < BLOCK);
    }
}
