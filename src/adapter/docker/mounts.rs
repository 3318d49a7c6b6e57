//! Volumes, directories of the host, and file systems in memory.

use std::collections::BTreeMap;

use bollard::models::{ContainerConfig, HostConfig, ImageConfig, Mount, MountType};

use super::list::{beyond, filled, sorted};
use crate::record::{Container, Volume};

/// The volumes without a name, and the mounts that name a source.
pub(super) fn asked(container: &Container) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let (anonymous, named): (Vec<_>, Vec<_>) =
        container.volumes.iter().partition(|volume| volume.is_anonymous());
    let text = |volumes: Vec<&Volume>| filled(volumes.iter().map(|v| v.as_str().to_owned()));
    (text(anonymous), text(named))
}

/// Named volumes and host paths, in whichever of Docker's two forms they were asked for, and volumes
/// without a name beyond the image's.
pub(super) fn volumes(
    config: &ContainerConfig,
    host: &HostConfig,
    image: &ImageConfig,
) -> Vec<Volume> {
    let binds = host.binds.iter().flatten().cloned();
    let mounts = host.mounts.iter().flatten().filter_map(volume);
    let anonymous = beyond(&config.volumes, &image.volumes).map(str::to_owned);
    let mut volumes: Vec<Volume> =
        binds.chain(mounts).chain(anonymous).filter_map(|text| text.parse().ok()).collect();
    volumes.sort_unstable();
    volumes
}

fn volume(mount: &Mount) -> Option<String> {
    if !matches!(mount.typ, None | Some(MountType::BIND | MountType::VOLUME)) {
        return None;
    }
    let target = mount.target.as_deref()?;
    let Some(source) = mount.source.as_deref().filter(|source| !source.is_empty()) else {
        return Some(target.to_owned());
    };
    let options = options(mount).join(",");
    let colon = if options.is_empty() { "" } else { ":" };
    Some(format!("{source}:{target}{colon}{options}"))
}

fn options(mount: &Mount) -> Vec<String> {
    let mut options = Vec::new();
    if mount.read_only == Some(true) {
        options.push("ro".to_owned());
    }
    if mount.volume_options.as_ref().is_some_and(|volume| volume.no_copy == Some(true)) {
        options.push("nocopy".to_owned());
    }
    let propagation = mount.bind_options.as_ref().and_then(|bind| bind.propagation.as_ref());
    options.extend(propagation.map(ToString::to_string).filter(|name| !name.is_empty()));
    options
}

/// File systems in memory, in whichever of Docker's two forms they were asked for.
pub(super) fn tmpfs(host: &HostConfig) -> BTreeMap<String, String> {
    let mut tmpfs = sorted(&host.tmpfs);
    for mount in host.mounts.iter().flatten().filter(|mount| mount.typ == Some(MountType::TMPFS)) {
        if let Some(target) = &mount.target {
            tmpfs.insert(target.clone(), tmpfs_options(mount).join(","));
        }
    }
    tmpfs
}

fn tmpfs_options(mount: &Mount) -> Vec<String> {
    let mut options = Vec::new();
    if mount.read_only == Some(true) {
        options.push("ro".to_owned());
    }
    let Some(asked) = &mount.tmpfs_options else {
        return options;
    };
    let set = |number: Option<i64>| number.filter(|number| *number > 0);
    options.extend(set(asked.size_bytes).map(|size| format!("size={size}")));
    options.extend(set(asked.mode).map(|mode| format!("mode={mode:o}")));
    options.extend(asked.options.iter().flatten().map(|option| option.join("=")));
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mounts_of_the_longer_form_are_told_in_the_shorter_one() {
        let host: HostConfig = serde_json::from_value(json!({
            "Binds": ["/srv:/srv:ro"],
            "Tmpfs": {"/run": ""},
            "Mounts": [
                {"Type": "tmpfs", "Target": "/x",
                 "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 493}},
                {"Type": "tmpfs", "Target": "/y", "ReadOnly": true},
                {"Type": "volume", "Target": "/anon"},
                {"Type": "volume", "Source": "data", "Target": "/v", "ReadOnly": true,
                 "VolumeOptions": {"NoCopy": true, "DriverConfig": {}}},
                {"Type": "bind", "Source": "/tmp", "Target": "/t",
                 "BindOptions": {"Propagation": "rshared"}}
            ]
        }))
        .unwrap();
        let volumes = volumes(&ContainerConfig::default(), &host, &ImageConfig::default());
        let volumes: Vec<&str> = volumes.iter().map(Volume::as_str).collect();
        assert_eq!(volumes, ["/anon", "/srv:/srv:ro", "/tmp:/t:rshared", "data:/v:ro,nocopy"]);
        let of = |path: &str, options: &str| (path.to_owned(), options.to_owned());
        let expected = [of("/run", ""), of("/x", "size=1048576,mode=755"), of("/y", "ro")];
        assert_eq!(tmpfs(&host), BTreeMap::from(expected));
    }
}
