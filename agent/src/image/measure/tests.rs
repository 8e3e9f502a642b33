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

/// How much it unpacks to, given in parts of so many bytes.
fn weigh(packed: &[u8], part: usize, limits: ImageLimits) -> Result<u64, String> {
    let total = Total::default();
    let mut meter = Meter::new(limits, total.clone());
    let done = packed
        .chunks(part)
        .try_for_each(|part| meter.add(part))
        .and_then(|()| meter.finish());
    match (done, meter.excess()) {
        (Ok(()), _) => Ok(total.0.load(Ordering::Relaxed)),
        (Err(_), Some(excess)) => Err(excess.to_string()),
        (Err(error), None) => Err(format!("damaged: {error}")),
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit_however_it_is_packed() {
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
    let total = Total::default();
    let limits = ImageLimits {
        layer: 1 << 20,
        ..OPEN
    };
    let mut meter = Meter::new(limits, total.clone());
    assert!(meter.add(&packed).is_err());
    let made = total.0.load(Ordering::Relaxed);
    assert!(made < 2 << 20, "{made}");
}

#[test]
fn layers_share_the_limit_of_their_image() {
    let packed = gzip(&vec![0; 2 * MIB]);
    let limits = ImageLimits {
        image: 3 << 20,
        ..OPEN
    };
    let total = Total::default();
    let mut first = Meter::new(limits, total.clone());
    first.add(&packed).and_then(|()| first.finish()).unwrap();
    let mut second = Meter::new(limits, total);
    let done = second.add(&packed).and_then(|()| second.finish());
    assert!(done.is_err());
    assert_eq!(second.excess(), Some(Excess::Image(3 << 20)));
}

#[test]
fn a_window_that_fills_the_memory_is_refused() {
    // One raw block of a byte, in a frame that wants a window of 2 GiB.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x09, 0, 0, 1];
    assert!(
        weigh(&frame, 4096, OPEN).unwrap_err().starts_with("damaged"),
        "a window of 2 GiB"
    );
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (20 - 10) << 3, 0x09, 0, 0, 1];
    assert_eq!(weigh(&frame, 4096, OPEN), Ok(1), "a window of 1 MiB");
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
        let packed = if zipped { gzip(&bytes) } else { zstd(&bytes) };
        prop_assert_eq!(weigh(&packed, part, OPEN), Ok(length as u64));
    }
}
