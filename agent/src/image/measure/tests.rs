use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;
const OPEN: ImageLimits = ImageLimits {
    layer: 0,
    image: 0,
    ratio: 0,
    ratio_from: 0,
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// An archive with one file of this content; the zeros that end it are not there.
fn tar(content: &[u8]) -> Vec<u8> {
    entry("a", b'0', content.len() as u64, content)
}

/// A header with these fields, and what comes after it.
fn entry(name: &str, kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
    let mut archive = vec![0; 512];
    archive[..name.len()].copy_from_slice(name.as_bytes());
    archive[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    archive[156] = kind;
    archive[257..265].copy_from_slice(b"ustar\x0000");
    sign(&mut archive);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

/// Puts the sum into a header.
pub(super) fn sign(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A PAX header with these records.
fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length);
        format!("{} {key}={value}\n", length.unwrap())
    };
    let text: String = records.iter().map(record).collect();
    entry("x", b'x', text.len() as u64, text.as_bytes())
}

/// What GNU tar made, from the corpus.
fn made(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(longshore_tests::corpus!("layer")).join(name)).unwrap()
}

/// How much it unpacks to, given in parts of so many bytes.
fn weigh(packed: &[u8], part: usize, limits: ImageLimits) -> Result<u64, String> {
    let mut meter = Meter::new(limits, 0, Window::Wide);
    let done = packed
        .chunks(part)
        .try_for_each(|part| meter.add(part))
        .and_then(|()| meter.finish());
    match (done, meter.excess()) {
        (Ok(()), _) => Ok(meter.unpacked()),
        (Err(_), Some(excess)) => Err(excess.to_string()),
        (Err(error), None) => Err(format!("damaged: {error}")),
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit_however_it_is_packed() {
    // Two blocks of zeros end an archive, and the rest is read all the same.
    let zeros = vec![0; 8 * MIB];
    let two = |pack: fn(&[u8]) -> Vec<u8>| [pack(&zeros[..4 * MIB]), pack(&zeros[..4 * MIB])].concat();
    let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(&zeros)].concat();
    let kinds = [
        ("gzip", gzip(&zeros)),
        ("gzip of two members", two(gzip)),
        ("zstd", zstd(&zeros)),
        ("zstd of two frames", two(zstd)),
        ("zstd after a frame to skip", skipped),
        ("plain", zeros.clone()),
    ];
    for (kind, packed) in kinds {
        assert_eq!(weigh(&packed, 4096, OPEN), Ok(8 << 20), "{kind}");
        let exact = ImageLimits {
            layer: 8 << 20,
            image: 8 << 20,
            ..OPEN
        };
        assert_eq!(weigh(&packed, 4096, exact), Ok(8 << 20), "{kind}");
        let layer = ImageLimits {
            layer: 7 << 20,
            ..OPEN
        };
        let said = "it unpacks to more than 7 MiB (LONGSHORE_LAYER_SIZE_LIMIT)";
        assert_eq!(weigh(&packed, 4096, layer), Err(said.to_owned()), "{kind}");
        let image = ImageLimits {
            image: 7 << 20,
            ..OPEN
        };
        assert!(
            weigh(&packed, 4096, image)
                .unwrap_err()
                .contains("LONGSHORE_IMAGE_SIZE_LIMIT"),
            "{kind}"
        );
    }
}

#[test]
fn the_ratio_counts_from_where_it_matters() {
    let packed = gzip(&vec![0; 8 * MIB]);
    let ratio = |ratio, ratio_from| ImageLimits {
        ratio,
        ratio_from,
        ..OPEN
    };
    let said = "it unpacks to more than 100 times its size (LONGSHORE_LAYER_RATIO_LIMIT)";
    assert_eq!(weigh(&packed, 4096, ratio(100, 1 << 20)), Err(said.to_owned()));
    assert_eq!(weigh(&packed, 4096, ratio(100, 8 << 20)), Ok(8 << 20));
    assert_eq!(weigh(&packed, 4096, ratio(2000, 0)), Ok(8 << 20));
}

#[test]
fn what_stops_at_the_limit_has_not_unpacked_much_more() {
    // A gibibyte, of which no more is made than what shows that it is too much.
    let frame = zstd(&vec![0; 64 * MIB]);
    let packed = frame.repeat(16);
    let limits = ImageLimits {
        layer: 1 << 20,
        ..OPEN
    };
    let mut meter = Meter::new(limits, 0, Window::Usual);
    assert!(meter.add(&packed).is_err());
    let made = meter.unpacked();
    assert!(made < 2 << 20, "{made}");
}

#[test]
fn layers_share_the_limit_of_their_image() {
    let packed = gzip(&vec![0; 2 * MIB]);
    let limits = ImageLimits {
        image: 3 << 20,
        ..OPEN
    };
    let mut first = Meter::new(limits, 0, Window::Usual);
    first.add(&packed).and_then(|()| first.finish()).unwrap();
    let mut second = Meter::new(limits, first.unpacked(), Window::Usual);
    let done = second.add(&packed).and_then(|()| second.finish());
    assert!(done.is_err());
    assert_eq!(second.excess(), Some(Excess::Image(3 << 20)));
}

#[test]
fn a_window_that_fills_the_memory_is_refused() {
    // One raw block of a byte, which is no header yet, in a frame that wants a window of 2 GiB.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x09, 0, 0, 1];
    assert!(
        weigh(&frame, 4096, OPEN).unwrap_err().starts_with("damaged"),
        "a window of 2 GiB"
    );
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (20 - 10) << 3, 0x09, 0, 0, 1];
    assert_eq!(weigh(&frame, 4096, OPEN), Ok(1), "a window of 1 MiB");
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (24 - 10) << 3, 0x09, 0, 0, 1];
    assert_eq!(weigh(&frame, 4096, OPEN), Ok(1), "a window of 16 MiB");
    assert!(
        Meter::new(OPEN, 0, Window::Usual).add(&frame).is_err(),
        "one that is not usual"
    );
}

#[test]
fn what_is_damaged_or_too_short_to_be_packed_is_told_apart() {
    assert_eq!(weigh(b"", 1, OPEN), Ok(0));
    assert_eq!(weigh(b"\x1f\x8b", 1, OPEN), Ok(2), "no header of gzip yet");
    let mut packed = gzip(b"some text that is not too short");
    let end = packed.len() - 6;
    packed[end] ^= 1;
    assert!(weigh(&packed, 7, OPEN).unwrap_err().starts_with("damaged"));
    let trailing = [gzip(b"text"), b"trailing garbage".to_vec()].concat();
    assert!(weigh(&trailing, 4096, OPEN).unwrap_err().starts_with("damaged"));
}

#[test]
fn what_is_left_out_of_a_plain_layer_is_counted() {
    let layer = [tar(&vec![1; 3 * MIB]), made("sparse_pax_1.0.tar")].concat();
    let whole = weigh(&layer, 4096, OPEN);
    let mut meter = Meter::new(OPEN, 0, Window::Usual);
    meter.add(&layer[..1000]).unwrap();
    let idle = meter.idle();
    assert_eq!(idle, 3 * MIB as u64 + 512 - 1000);
    assert_eq!(meter.skip(idle), None);
    meter
        .add(&layer[1000 + usize::try_from(idle).unwrap()..])
        .unwrap();
    assert_eq!(Ok(meter.unpacked()), whole);
    let limits = ImageLimits {
        layer: 1 << 20,
        ..OPEN
    };
    let mut meter = Meter::new(limits, 0, Window::Usual);
    meter.add(&layer[..1000]).unwrap();
    assert_eq!(meter.skip(idle), Some(Excess::Layer(1 << 20)));
    let mut packed = Meter::new(OPEN, 0, Window::Usual);
    packed.add(&gzip(&layer)[..1000]).unwrap();
    assert_eq!(packed.idle(), 0);
}

#[test]
fn sizes_that_are_said_are_looked_at_before_anything_is_fetched() {
    let layer = |size| Descriptor {
        media_type: String::new(),
        digest: Digest::sha256(b"a"),
        size,
        platform: None,
        annotations: Default::default(),
    };
    let scales = Scales::new(ImageLimits {
        layer: 10,
        image: 15,
        ..OPEN
    });
    assert!(scales.look(&[layer(10), layer(5)]).is_ok());
    assert!(
        scales
            .look(&[layer(10), layer(6)])
            .unwrap_err()
            .to_string()
            .contains("IMAGE_SIZE")
    );
    assert!(
        scales
            .look(&[layer(u64::MAX), layer(1)])
            .unwrap_err()
            .to_string()
            .contains("LAYER_SIZE")
    );
    assert!(
        Scales::new(OPEN)
            .look(&[layer(u64::MAX), layer(u64::MAX)])
            .is_ok()
    );
}

proptest! {
    #[test]
    fn anything_is_counted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize, part in 1..50_usize) {
        let head: &[u8] = [&b""[..], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd], &[0x51, 0x2a, 0x4d, 0x18]][kind];
        let limits = ImageLimits { layer: 1 << 20, ..OPEN };
        let _ = weigh(&[head, &bytes].concat(), part, limits);
    }

    #[test]
    fn parts_do_not_matter(length in 0..5000_usize, part in 1..700_usize, zipped in any::<bool>()) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let archive = [tar(&bytes), tar(&bytes)].concat();
        let packed = if zipped { gzip(&archive) } else { zstd(&archive) };
        prop_assert_eq!(weigh(&packed, part, OPEN), Ok(archive.len() as u64));
    }
}

#[test]
fn holes_are_counted_however_a_sparse_file_is_written() {
    let file = 16 << 20;
    for name in [
        "sparse_gnu.tar",
        "sparse_pax_0.0.tar",
        "sparse_pax_0.1.tar",
        "sparse_pax_1.0.tar",
    ] {
        let archive = made(name);
        let length = archive.len() as u64;
        // Its bytes are at most those of the file and of its headers.
        let counted = weigh(&archive, 100, OPEN).unwrap();
        assert!((file..=file + length).contains(&counted), "{name}: {counted}");
        let limit = ImageLimits {
            layer: file - 1,
            ..OPEN
        };
        for packed in [archive.clone(), gzip(&archive), zstd(&archive)] {
            let error = weigh(&packed, 4096, limit).unwrap_err();
            assert!(error.contains("LONGSHORE_LAYER_SIZE_LIMIT"), "{name}: {error}");
        }
    }
    // One whose map goes on in two blocks of its own: what comes after it is found.
    let mut map = entry("a", b'S', 512, &[0; 3 * 512]);
    map[257..265].copy_from_slice(b"ustar  \0");
    map[482] = 1;
    map[483..494].copy_from_slice(format!("{file:011o}").as_bytes());
    map[512 + 504] = 1;
    sign(&mut map);
    let two = [map, made("sparse_pax_1.0.tar")].concat();
    let counted = weigh(&two, 777, OPEN).unwrap();
    assert!(
        (2 * file..2 * file + two.len() as u64).contains(&counted),
        "{counted}"
    );
}

#[test]
fn archives_without_holes_are_their_bytes() {
    for name in ["long_names.tar", "global_header.tar", "v7.tar"] {
        let archive = made(name);
        assert_eq!(weigh(&archive, 33, OPEN), Ok(archive.len() as u64), "{name}");
    }
    let big = [pax(&[("size", "3")]), entry("a", b'0', 0, b"abc")].concat();
    assert_eq!(weigh(&big, 512, OPEN), Ok(2048), "a size in records");
    let mut archive = entry("a", b'0', 0, b"abc");
    archive[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    sign(&mut archive);
    assert_eq!(weigh(&archive, 512, OPEN), Ok(1024), "a size in binary");
    let ended = [tar(b"abc"), vec![0; 1024], vec![7; 1000]].concat();
    assert_eq!(
        weigh(&ended, 512, OPEN),
        Ok(ended.len() as u64),
        "what comes after the end"
    );
}

#[test]
fn no_sparse_file_hides() {
    let bomb = [
        pax(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "1099511627776"),
        ]),
        tar(b"0\n"),
    ]
    .concat();
    let limit = ImageLimits {
        layer: 1 << 30,
        ..OPEN
    };
    let hidden = [
        ("as it is", bomb.clone()),
        (
            "behind a folder that says that it has bytes",
            [entry("d/", b'5', 1024, b""), bomb.clone()].concat(),
        ),
        (
            "behind a link that does",
            [entry("l", b'1', 1 << 20, b""), bomb.clone()].concat(),
        ),
        (
            "behind records that shorten",
            [
                pax(&[("size", "0")]),
                entry("a", b'0', 1 << 20, b""),
                bomb.clone(),
            ]
            .concat(),
        ),
        (
            "behind records that are replaced",
            [
                pax(&[("size", "99999")]),
                pax(&[]),
                entry("a", b'0', 1, b"a"),
                bomb.clone(),
            ]
            .concat(),
        ),
        (
            "behind records for all",
            [
                pax(&[("size", "99999")]),
                entry("g", b'g', 0, b""),
                entry("a", b'0', 1, b"a"),
                bomb.clone(),
            ]
            .concat(),
        ),
        (
            "behind a long name",
            [
                pax(&[("GNU.sparse.size", "1099511627776")]),
                entry("@", b'L', 3, b"abc"),
                tar(b""),
            ]
            .concat(),
        ),
    ];
    for (how, archive) in hidden {
        let error = weigh(&archive, 512, limit).unwrap_err();
        assert!(error.contains("LONGSHORE_LAYER_SIZE_LIMIT"), "{how}: {error}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let minus = |mut archive: Vec<u8>| {
        archive[124..136].fill(0xff);
        sign(&mut archive);
        archive
    };
    let refused = [
        ("a wrong sum", "no tar archive", vec![b'a'; 512]),
        (
            "one block of zeros",
            "no tar archive",
            [vec![0; 512], tar(b"abc")].concat(),
        ),
        (
            "an old folder with bytes",
            "a file and a folder",
            entry("d/", 0, 3, b"abc"),
        ),
        (
            "one by its long name",
            "a file and a folder",
            [entry("@", b'L', 3, b"d/\0"), entry("d", 0, 3, b"abc")].concat(),
        ),
        (
            "one by its records",
            "a file and a folder",
            [pax(&[("path", "d/")]), entry("d", 0, 3, b"abc")].concat(),
        ),
        ("a size below nothing", "size", minus(tar(b""))),
        ("records of gigabytes", "1 MiB", entry("x", b'x', 1 << 32, b"")),
        ("no records", "records", entry("x", b'x', 3, b"abc")),
        ("a sparse file of star", "sparse", entry("a", b'S', 3, b"abc")),
    ];
    for (how, says, archive) in refused {
        let error = weigh(&archive, 4096, OPEN).unwrap_err();
        assert!(
            error.starts_with("damaged") && error.contains(says),
            "{how}: {error}"
        );
    }
    let mut folder = entry("d/", b'5', 0, b"");
    folder[124..136].fill(0xff);
    sign(&mut folder);
    assert_eq!(
        weigh(&folder, 512, OPEN),
        Ok(512),
        "a folder has no bytes whatever it says"
    );
}
