//! Which of an index's manifests is for this machine, and whether an image is at all.
//!
//! The order is containerd's: an `arm` machine runs its own variant and every lower one down to `v5`; `arm64` is `v8`
//! whether that is written or not, and falls back to 32-bit `arm`; `amd64` of a higher level runs the lower ones, and
//! falls back to `386`.

use std::fmt::{Display, Formatter};

use super::manifest::{Descriptor, Platform};

/// The annotation by which build tools mark what looks like a manifest but is no image.
const NOT_AN_IMAGE: &str = "vnd.docker.reference.type";

/// The machine that images are to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    architecture: String,
    variant: String,
}

impl Machine {
    /// A Linux machine; `variant` may be empty.
    #[must_use]
    pub fn new(architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = normal(architecture, variant);
        Self {
            architecture,
            variant,
        }
    }

    /// How well an image for `platform` suits: 0 is best, `None` does not run here.
    #[must_use]
    pub fn suits(&self, platform: &Platform) -> Option<usize> {
        let (architecture, variant) = normal(&platform.architecture, &platform.variant);
        if platform.os != "linux" {
            return None;
        }
        self.runs()
            .iter()
            .position(|(runs, level)| *runs == architecture && *level == variant)
    }

    /// The manifest of an index that suits best; the first of equals.
    #[must_use]
    pub fn choose<'a>(&self, manifests: &'a [Descriptor]) -> Option<&'a Descriptor> {
        manifests
            .iter()
            .filter(|manifest| !manifest.annotations.contains_key(NOT_AN_IMAGE))
            .filter_map(|manifest| {
                let rank = self.suits(manifest.platform.as_ref()?)?;
                Some((rank, manifest))
            })
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, manifest)| manifest)
    }

    /// What this machine runs, the best first.
    fn runs(&self) -> Vec<(&'static str, String)> {
        let levels = |name, from: u32| (1..=from).rev().map(move |level| (name, format!("v{level}")));
        let arm = |from: u32| (5..=from).rev().map(|level| ("arm", format!("v{level}")));
        let level = self.variant.trim_start_matches('v').parse::<u32>().unwrap_or(0);
        match self.architecture.as_str() {
            "amd64" => levels("amd64", level.clamp(1, 4))
                .chain([("386", String::new())])
                .collect(),
            "arm64" => (8..=level.clamp(8, 9))
                .rev()
                .map(|level| ("arm64", format!("v{level}")))
                .chain(arm(8))
                .collect(),
            "arm" => arm(level.clamp(5, 8)).collect(),
            "386" => vec![("386", String::new())],
            "ppc64le" => vec![("ppc64le", String::new())],
            "riscv64" => vec![("riscv64", String::new())],
            "s390x" => vec![("s390x", String::new())],
            "loong64" => vec![("loong64", String::new())],
            _ => Vec::new(),
        }
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&name(&self.architecture, &self.variant))
    }
}

/// What an index offers, for an error.
#[must_use]
pub fn offered(manifests: &[Descriptor]) -> String {
    let mut names: Vec<_> = manifests
        .iter()
        .filter(|manifest| !manifest.annotations.contains_key(NOT_AN_IMAGE))
        .filter_map(|manifest| manifest.platform.as_ref())
        .map(full_name)
        .collect();
    names.sort();
    names.dedup();
    match names.is_empty() {
        true => "no platform that is named".to_owned(),
        false => names.join(", "),
    }
}

/// `arm/v7`, with the system where that is not Linux.
#[must_use]
pub fn full_name(platform: &Platform) -> String {
    let (architecture, variant) = normal(&platform.architecture, &platform.variant);
    match platform.os.as_str() {
        "linux" => name(&architecture, &variant),
        "" => format!("an unnamed system/{}", name(&architecture, &variant)),
        os => format!("{os}/{}", name(&architecture, &variant)),
    }
}

/// Leaves out the variants that everybody leaves out.
fn name(architecture: &str, variant: &str) -> String {
    match (architecture, variant) {
        (_, "") | ("arm64", "v8") | ("amd64", "v1") => architecture.to_owned(),
        (architecture, variant) => format!("{architecture}/{variant}"),
    }
}

/// One spelling for each platform.
fn normal(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let numbered = match variant.as_str() {
        "5" | "6" | "7" | "8" | "9" => format!("v{variant}"),
        _ => variant,
    };
    let (architecture, assumed) = match architecture.as_str() {
        "x86_64" | "x86-64" | "amd64" => ("amd64", "v1"),
        "i386" | "386" => return ("386".to_owned(), String::new()),
        "aarch64" | "arm64" => ("arm64", "v8"),
        "armhf" => return ("arm".to_owned(), "v7".to_owned()),
        "armel" => return ("arm".to_owned(), "v6".to_owned()),
        "arm" => ("arm", "v7"),
        other => (other, ""),
    };
    let variant = match numbered.is_empty() {
        true => assumed.to_owned(),
        false => numbered,
    };
    (architecture.to_owned(), variant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::digest::Digest;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next().unwrap_or_default(),
        }
    }

    fn index(platforms: &[&str]) -> Vec<Descriptor> {
        platforms
            .iter()
            .map(|text| Descriptor {
                media_type: String::new(),
                digest: Digest::sha256(text.as_bytes()),
                size: 1,
                platform: Some(platform(text)),
                annotations: Default::default(),
            })
            .collect()
    }

    fn chosen(machine: (&str, &str), platforms: &[&str]) -> Option<usize> {
        let index = index(platforms);
        let chosen = Machine::new(machine.0, machine.1).choose(&index)?.clone();
        index.iter().position(|manifest| *manifest == chosen)
    }

    #[test]
    fn the_highest_that_runs_is_chosen() {
        let arms = [
            "linux/amd64",
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/arm64",
        ];
        assert_eq!(chosen(("amd64", ""), &arms), Some(0));
        assert_eq!(chosen(("arm", "v7"), &arms), Some(3));
        assert_eq!(chosen(("arm", "v6"), &arms), Some(2));
        assert_eq!(chosen(("arm", ""), &arms), Some(3));
        assert_eq!(chosen(("arm64", "v8"), &arms), Some(4));
        assert_eq!(chosen(("arm64", ""), &arms[..4]), Some(3));
        assert_eq!(chosen(("riscv64", ""), &arms), None);
    }

    #[test]
    fn amd64_levels_fall_back_and_windows_never_fits() {
        assert_eq!(
            chosen(("amd64", "v3"), &["linux/amd64", "linux/amd64/v2"]),
            Some(1)
        );
        assert_eq!(
            chosen(("amd64", ""), &["linux/amd64/v2", "linux/amd64/v1"]),
            Some(1)
        );
        assert_eq!(chosen(("amd64", ""), &["windows/amd64"]), None);
        assert_eq!(chosen(("x86_64", ""), &["linux/386"]), Some(0));
    }

    #[test]
    fn attestations_are_no_images() {
        let mut manifests = index(&["linux/amd64", "linux/amd64"]);
        if let Some(first) = manifests.first_mut() {
            first
                .annotations
                .insert(NOT_AN_IMAGE.to_owned(), "attestation-manifest".to_owned());
        }
        let machine = Machine::new("amd64", "");
        assert_eq!(machine.choose(&manifests), manifests.get(1));
    }

    #[test]
    fn what_is_offered_is_said_as_people_say_it() {
        let manifests = index(&["linux/arm/v7", "linux/amd64", "windows/amd64", "linux/amd64"]);
        assert_eq!(offered(&manifests), "amd64, arm/v7, windows/amd64");
        assert_eq!(Machine::new("aarch64", "").to_string(), "arm64");
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_suits(names in prop::collection::vec("(linux|windows)/(arm|arm64|amd64|x)/(v[5-8])?", 0..6)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let manifests = index(&names);
            let machine = Machine::new("arm", "v6");
            let best = manifests.iter().filter_map(|m| machine.suits(m.platform.as_ref()?)).min();
            let chosen = machine.choose(&manifests).and_then(|m| machine.suits(m.platform.as_ref()?));
            prop_assert_eq!(chosen, best);
        }
    }
}
