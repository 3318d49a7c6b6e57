//! Volumes, directories of nodes and file systems in memory, as mounts of a service.

use bollard::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum as Propagation, MountTmpfsOptions,
    MountType, MountVolumeOptions,
};

use crate::adapter::docker::list::filled;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Volume};

/// What a service is to be asked for.
///
/// # Errors
/// `Refused` for options that mounts do not have.
pub(super) fn asked(container: &Container) -> Result<Option<Vec<Mount>>> {
    let volumes = container.volumes.iter().map(volume);
    let tmpfs = container.tmpfs.iter().map(|(target, options)| tmpfs(target, options));
    Ok(filled(volumes.chain(tmpfs).collect::<Result<Vec<Mount>>>()?))
}

fn volume(volume: &Volume) -> Result<Mount> {
    let mut parts = volume.as_str().splitn(3, ':');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (source, target) = match second {
        Some(target) => (Some(first.to_owned()), target),
        None => (None, first),
    };
    let of_host = source.as_ref().is_some_and(|source| source.starts_with('/'));
    let mut mount = Mount {
        typ: Some(if of_host { MountType::BIND } else { MountType::VOLUME }),
        source,
        target: Some(target.to_owned()),
        ..Default::default()
    };
    for option in parts.next().unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
        match (option, propagation(option)) {
            ("ro", _) => mount.read_only = Some(true),
            ("rw", _) => (),
            ("nocopy", _) if !of_host => {
                let options = MountVolumeOptions { no_copy: Some(true), ..Default::default() };
                mount.volume_options = Some(options);
            }
            (_, Some(propagation)) if of_host => {
                let propagation = Some(propagation);
                mount.bind_options = Some(MountBindOptions { propagation, ..Default::default() });
            }
            _ => return Err(refused("volumes", option, volume.as_str())),
        }
    }
    Ok(mount)
}

fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::PRIVATE,
        "rprivate" => Propagation::RPRIVATE,
        "shared" => Propagation::SHARED,
        "rshared" => Propagation::RSHARED,
        "slave" => Propagation::SLAVE,
        "rslave" => Propagation::RSLAVE,
        _ => return None,
    })
}

fn tmpfs(target: &str, options: &str) -> Result<Mount> {
    let mut asked = MountTmpfsOptions::default();
    let mut read_only = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "ro" => read_only = Some(true),
            "rw" => (),
            "size" => asked.size_bytes = size(value),
            "mode" => asked.mode = i64::from_str_radix(value, 8).ok(),
            _ => (),
        }
        let taken = match name {
            "ro" | "rw" => true,
            "size" => asked.size_bytes.is_some(),
            "mode" => asked.mode.is_some(),
            _ => false,
        };
        if !taken {
            return Err(refused("tmpfs", option, target));
        }
    }
    Ok(Mount {
        typ: Some(MountType::TMPFS),
        target: Some(target.to_owned()),
        read_only,
        tmpfs_options: (asked != MountTmpfsOptions::default()).then_some(asked),
        ..Default::default()
    })
}

/// A size as tmpfs(5) has it, but for the share of memory.
fn size(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[end..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    text[..end].parse::<i64>().ok()?.checked_mul(1 << shift)
}

fn refused(field: &str, option: &str, of: &str) -> Error {
    let what = format_args!("field {field:?}: option \"{option}\" of \"{of}\"");
    Error::new(Kind::Refused, what).why("a swarm's mounts have no such option")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::docker::mounts as single;
    use bollard::models::{ContainerConfig, HostConfig, ImageConfig};
    use serde_json::{Value, json};

    fn mounts(fields: Value) -> Result<Option<Vec<Mount>>> {
        let mut document = json!({"id": "web", "image": "busybox"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        asked(&serde_json::from_value(document).unwrap())
    }

    #[test]
    fn mounts_are_read_back_as_they_were_asked_for() {
        let volumes = json!(["/scratch", "/srv:/srv:ro,rslave", "data:/data", "data:/v:ro,nocopy"]);
        let tmpfs = json!({"/a": "", "/b": "ro,size=1048576,mode=755"});
        let mounts = mounts(json!({"volumes": volumes, "tmpfs": tmpfs})).unwrap();
        let host = HostConfig { mounts, ..Default::default() };
        let read = single::volumes(&ContainerConfig::default(), &host, &ImageConfig::default());
        assert_eq!(serde_json::to_value(read).unwrap(), volumes);
        assert_eq!(serde_json::to_value(single::tmpfs(&host)).unwrap(), tmpfs);
    }

    #[test]
    fn an_option_that_is_none_is_refused() {
        for fields in [
            json!({"volumes": ["data:/data:z"]}),
            json!({"volumes": ["/srv:/srv:nocopy"]}),
            json!({"volumes": ["data:/data:rshared"]}),
            json!({"tmpfs": {"/a": "noexec"}}),
            json!({"tmpfs": {"/a": "size=50%"}}),
        ] {
            let why = mounts(fields.clone()).unwrap_err();
            assert_eq!(why.kind(), Kind::Refused, "{fields}");
        }
        let mounts = mounts(json!({"tmpfs": {"/a": "size=1g"}})).unwrap().unwrap();
        assert_eq!(mounts[0].tmpfs_options.as_ref().unwrap().size_bytes, Some(1 << 30));
    }
}
