//! Stains as scikit-image separates them; codes that come back as the look they were written from.

use proptest::prelude::*;

use super::*;

fn golden() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../../tests/golden/look/stains.json")).unwrap()
}

#[test]
fn stains_are_those_of_scikit_image() {
    let golden = golden();
    let numbers = |value: &serde_json::Value| -> Vec<u8> {
        value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u8).collect()
    };
    let pixels = numbers(&golden["pixels"]);
    assert_eq!(golden["views"].as_object().unwrap().len(), 8, "every view of one stain");
    for (code, expected) in golden["views"].as_object().unwrap() {
        let look = Look { stain: StainView::from_code(code).unwrap(), ..Look::default() };
        let mut tile = RgbTile::new([pixels.len() as u32 / 3, 1], pixels.clone()).unwrap();
        look.apply(&mut tile);
        let expected = numbers(expected);
        let worst = tile.pixels().iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "{code}: {worst}");
    }
}

#[test]
fn tones_go_where_the_sliders_say() {
    let check = |look: Look, value: u8, expected: u8| {
        let mut tile = RgbTile::new([1, 1], vec![value; 3]).unwrap();
        look.apply(&mut tile);
        assert_eq!(tile.pixels(), [expected; 3], "{look} of {value}");
    };
    let plain = Look::default();
    for value in [0, 1, 100, 255] {
        check(plain, value, value);
    }
    let bright = Look { brightness: 100, ..plain };
    check(bright, 0, 128);
    check(bright, 200, 255);
    check(Look { brightness: -100, ..plain }, 200, 73);
    let steep = Look { contrast: 50, ..plain };
    check(steep, 0, 0);
    check(steep, 96, 65);
    check(steep, 255, 255);
    check(Look { contrast: -50, ..plain }, 255, 191);
    check(Look { gamma: 200, ..plain }, 64, 128);
    check(Look { gamma: 50, ..plain }, 128, 64);
    // Out of range counts as the end of the range.
    check(Look { brightness: 127, ..plain }, 0, 128);
    // The settings act on the colours of a stain too: white stays the place without it.
    let stain = StainView::One { stain: Stain::Eosin, tint: Tint::Grey };
    check(Look { stain, ..plain }, 255, 255);
    check(Look { stain, brightness: -100, ..plain }, 255, 128);
}

#[test]
fn only_the_code_that_is_written_is_read() {
    for code in [
        "",
        "all",
        "0.0.100",
        "0.0.100.",
        "0.0.100.x",
        "+1.0.100.all",
        "00.0.100.all",
        "-0.0.100.all",
        "101.0.100.all",
        "0.-101.100.all",
        "0.0.9.all",
        "0.0.501.all",
        "0.0.100.all.",
        "0.0.100.ALL",
        " 0.0.100.all",
        "0.0.1e2.all",
    ] {
        assert!(Look::from_code(code).is_err(), "{code:?}");
    }
    let long = "9".repeat(10_000);
    assert!(Look::from_code(&long).unwrap_err().to_string().len() < 100);
    let json =
        serde_json::to_string(&Look { stain: StainView::from_code("h-grey").unwrap(), ..Look::default() });
    assert_eq!(json.unwrap(), r#"{"brightness":0,"contrast":0,"gamma":100,"stain":"h-grey"}"#);
    assert!(serde_json::from_str::<Look>(r#"{"stain":"x"}"#).is_err());
}

fn any_look() -> impl Strategy<Value = Look> {
    let views: Vec<_> = StainView::every().collect();
    (-100_i8..=100, -100_i8..=100, 10_u16..=500, prop::sample::select(views))
        .prop_map(|(brightness, contrast, gamma, stain)| Look { brightness, contrast, gamma, stain })
}

proptest! {
    #[test]
    fn codes_come_back(look in any_look()) {
        let code = look.code();
        prop_assert!(code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)), "{code}");
        prop_assert_eq!(Look::from_code(&code), Ok(look));
        let json = serde_json::to_string(&look).unwrap();
        prop_assert_eq!(serde_json::from_str::<Look>(&json).unwrap(), look);
    }

    #[test]
    fn no_text_is_two_looks(code in "[-0-9a-z.]{0,24}") {
        if let Ok(look) = Look::from_code(&code) {
            prop_assert_eq!(look.code(), code);
        }
    }

    #[test]
    fn settings_never_turn_light_and_dark_around(look in any_look(), a in any::<u8>(), b in any::<u8>()) {
        let look = Look { stain: StainView::All, ..look };
        let mut tile = RgbTile::new([2, 1], [[a.min(b); 3], [a.max(b); 3]].concat()).unwrap();
        look.apply(&mut tile);
        prop_assert!(tile.pixels()[0] <= tile.pixels()[3]);
    }
}
