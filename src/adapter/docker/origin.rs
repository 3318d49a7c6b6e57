//! What a container has without anybody asking for it: what its image brings along, and what its
//! engine does where nothing is said.

use bollard::models::{HostConfig, HostConfigLogConfig, ImageConfig, ImageInspect, SystemInfo};

use super::list::{entries, parsed, sorted};
use crate::record::{Container, Platform};

/// What an image says.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Its names and digests in registries, sorted.
    pub(super) digests: Vec<String>,
    pub(super) config: ImageConfig,
    os: String,
    architecture: String,
    variant: String,
}

impl Brought {
    pub(super) fn of(image: ImageInspect) -> Brought {
        let mut digests = image.repo_digests.unwrap_or_default();
        digests.sort();
        Brought {
            digests,
            config: image.config.unwrap_or_default(),
            os: image.os.unwrap_or_default(),
            architecture: image.architecture.unwrap_or_default(),
            variant: image.variant.unwrap_or_default(),
        }
    }

    /// Whether the image is for this platform, as far as each of the two says.
    pub(super) fn is_for(&self, platform: &Platform) -> bool {
        let mut parts = platform.as_str().split('/');
        let same = |part: Option<&str>, of: &str| part.is_none_or(|part| same(part, of));
        same(parts.next(), &self.os)
            && same(parts.next(), &self.architecture)
            && (self.variant.is_empty() || same(parts.next(), &self.variant))
    }
}

/// What an engine does where nothing is said. What it does not tell is empty.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// It cannot limit swap, and lets those who limit memory have all of it.
    pub(super) swaps_freely: bool,
    log_driver: String,
    os: String,
    architecture: String,
}

impl Defaults {
    pub(super) fn of(info: SystemInfo) -> Defaults {
        Defaults {
            swaps_freely: info.swap_limit == Some(false),
            log_driver: info.logging_driver.unwrap_or_default(),
            os: info.os_type.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
        }
    }

    /// The platform of an image that is not for what the engine runs on: somebody asked for it.
    pub(super) fn platform(&self, image: &Brought) -> Option<Platform> {
        let known = [&self.os, &self.architecture, &image.os, &image.architecture];
        if known.iter().any(|word| word.is_empty()) {
            return None;
        }
        if same(&self.os, &image.os) && same(&self.architecture, &image.architecture) {
            return None;
        }
        let variant = if image.variant.is_empty() { "" } else { "/" };
        parsed(&format!("{}/{}{variant}{}", image.os, image.architecture, image.variant))
    }

    /// The document with where its output goes, if that is not where the engine puts all output.
    pub(super) fn logging(&self, host: &HostConfig, document: Container) -> Container {
        let Some(config) = &host.log_config else {
            return document;
        };
        let driver = config.typ.clone().unwrap_or_default();
        let log_options = sorted(&config.config);
        let usual = self.log_driver.is_empty() || driver == self.log_driver;
        let is_usual = usual && log_options.is_empty();
        let log_driver = Some(driver).filter(|driver| !driver.is_empty() && !is_usual);
        Container { log_driver, log_options, ..document }
    }
}

/// Where Docker is to put the output; options without a driver are for the engine's default one.
pub(super) fn logging(container: &Container) -> Option<HostConfigLogConfig> {
    let config = entries(container.log_options.clone());
    (container.log_driver.is_some() || config.is_some())
        .then(|| HostConfigLogConfig { typ: container.log_driver.clone(), config })
}

/// Whether two words of a platform mean the same: kernels and Go have names of their own for
/// architectures.
fn same(one: &str, other: &str) -> bool {
    fn usual(word: &str) -> String {
        match word.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            "i386" | "i686" => "386".to_owned(),
            "armhf" | "armv6l" | "armv7l" | "armel" => "arm".to_owned(),
            other => other.to_owned(),
        }
    }
    one.is_empty() || other.is_empty() || usual(one) == usual(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn engine() -> Defaults {
        let info = json!({
            "LoggingDriver": "json-file", "OSType": "linux", "Architecture": "x86_64"
        });
        Defaults::of(serde_json::from_value(info).unwrap())
    }

    fn image(architecture: &str, variant: &str) -> Brought {
        let image = json!({"Os": "linux", "Architecture": architecture, "Variant": variant});
        Brought::of(serde_json::from_value(image).unwrap())
    }

    #[test]
    fn a_platform_is_told_when_it_is_not_the_host_s() {
        assert_eq!(engine().platform(&image("amd64", "")), None);
        let told = |image| engine().platform(&image).map(|platform| platform.to_string());
        assert_eq!(told(image("arm64", "v8")).as_deref(), Some("linux/arm64/v8"));
        assert_eq!(told(image("arm64", "")).as_deref(), Some("linux/arm64"));
        assert_eq!(Defaults::default().platform(&image("arm64", "")), None);
        assert_eq!(engine().platform(&Brought::default()), None);
    }

    #[test]
    fn an_image_is_for_a_platform_or_not() {
        let is_for = |platform: &str| image("arm", "v7").is_for(&platform.parse().unwrap());
        for platform in ["linux", "linux/arm", "linux/arm/v7", "Linux/ARMHF"] {
            assert!(is_for(platform), "{platform}");
        }
        for platform in ["windows", "linux/amd64", "linux/arm/v6"] {
            assert!(!is_for(platform), "{platform}");
        }
    }

    #[test]
    fn where_all_output_goes_is_not_told() {
        let read = |engine: Defaults, config: Value| {
            let host = serde_json::from_value(json!({"LogConfig": config})).unwrap();
            let bare = serde_json::from_value(json!({"id": "a", "image": "b"})).unwrap();
            let document = engine.logging(&host, bare);
            (document.log_driver, document.log_options.into_iter().collect::<Vec<_>>())
        };
        let size = || vec![("max-size".to_owned(), "1m".to_owned())];
        let file = Some("json-file".to_owned());
        assert_eq!(read(engine(), json!({"Type": "json-file", "Config": {}})), (None, vec![]));
        let limited = json!({"Type": "json-file", "Config": {"max-size": "1m"}});
        assert_eq!(read(engine(), limited), (file, size()));
        let none = json!({"Type": "none", "Config": null});
        assert_eq!(read(engine(), none.clone()), (Some("none".to_owned()), vec![]));
        assert_eq!(read(Defaults::default(), none), (None, vec![]));
    }
}
