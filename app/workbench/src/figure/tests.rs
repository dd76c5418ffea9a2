//! Figures show the slide's own pixels, turned and drawn over as asked, in every format.

use eosin_core::annotation::{Annotation, AnnotationClass, Shape};
use eosin_core::{Mpp, Region, RegionScale, RgbTile};
use eosin_slide::{PyramidOptions, load_picture, write_picture_pyramid};

use super::*;
use crate::annotation::new_annotation_id;

const SLIDE_PX: [u32; 2] = [1700, 1300];

/// A slope in each direction with a pattern on it, so that each place has its own colour.
fn drawn() -> RgbTile {
    let [width, height] = SLIDE_PX;
    let px =
        |x: u32, y: u32| [(x * 255 / width) as u8, (y * 255 / height) as u8, (x / 64 + y / 64) as u8 * 4];
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| px(x, y))).collect();
    RgbTile::new(SLIDE_PX, pixels).unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    slide: Slide,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drawn.tif");
        let options = PyramidOptions { jpeg_quality: 98, ..PyramidOptions::default() };
        write_picture_pyramid(&path, &drawn(), &options).unwrap();
        let slide = Slide::open(&path).unwrap().with_mpp(Mpp::new(0.5).unwrap());
        Self { folder, slide }
    }

    fn export(&self, request: &FigureRequest, name: &str) -> RgbTile {
        let path = self.folder.path().join(name);
        export_figure(&self.slide, request, &path).unwrap();
        load_picture(&path).unwrap()
    }

    fn read(&self, origin_base_px: [u32; 2], size_px: [u32; 2], downsample: f64) -> RgbTile {
        let slide = self.slide.info().id.clone();
        let scale = RegionScale::Downsample(downsample);
        self.slide.read(&Region { slide, origin_base_px, size_px, scale }).unwrap()
    }
}

fn px(tile: &RgbTile, x: u32, y: u32) -> [u8; 3] {
    let at = ((y * tile.width_px() + x) * 3) as usize;
    tile.pixels()[at..at + 3].try_into().unwrap()
}

fn worst(a: &RgbTile, b: &RgbTile) -> u8 {
    assert_eq!(a.size_px(), b.size_px());
    a.pixels().iter().zip(b.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_region_is_the_slides_pixels() {
    let bench = Bench::new();
    // Wider than a block and higher than a band.
    let request = FigureRequest::region([100.0, 50.0], [1500.0, 1200.0], 1.0);
    assert_eq!(request.size_px, [1500, 1200]);
    let plain = bench.read([100, 50], [1500, 1200], 1.0);
    assert!(bench.export(&request, "one.png") == plain);
    assert!(bench.export(&request, "one.tif") == plain);
    assert!(worst(&bench.export(&request, "one.jpg"), &plain) <= 12);
    for downsample in [2.5, 1.0 / 3.0] {
        let request = FigureRequest::region([30.0, 20.0], [510.0, 420.0], downsample);
        let plain = bench.read([30, 20], request.size_px, downsample);
        assert!(worst(&bench.export(&request, "two.png"), &plain) <= 1, "{downsample}");
    }
    let look = Look { brightness: -30, gamma: 140, ..Look::default() };
    let request = FigureRequest { look, ..request };
    let mut shown = plain;
    look.apply(&mut shown);
    assert!(bench.export(&request, "look.png") == shown);
}

#[test]
fn a_turned_view_is_the_turned_slide() {
    let bench = Bench::new();
    let upright = bench.read([500, 300], [600, 200], 1.0);
    let turn = |degrees: f64, size_px: [u32; 2]| {
        let request = FigureRequest::view([800.0, 400.0], 1.0, size_px);
        bench.export(&FigureRequest { rotation_degrees: degrees, ..request }, "turned.png")
    };
    assert!(turn(0.0, [600, 200]) == upright);
    assert!(turn(360.0, [600, 200]) == upright);
    let (right, half, left) = (turn(90.0, [200, 600]), turn(180.0, [600, 200]), turn(-90.0, [200, 600]));
    for (x, y) in [(0, 0), (599, 0), (17, 3), (300, 199)] {
        let want = px(&upright, x, y);
        // Clockwise: what was at the left is at the top, its top at the right.
        assert_eq!(px(&right, 199 - y, x), want);
        assert_eq!(px(&half, 599 - x, 199 - y), want);
        assert_eq!(px(&left, y, 599 - x), want);
    }
    let slanted = turn(30.0, [900, 700]);
    let (sin, cos) = 30.0_f64.to_radians().sin_cos();
    for (dx, dy) in [(0.0, 0.0), (200.0, -90.0), (-250.0, 120.0)] {
        let [x, y] = [450.0 + dx * cos - dy * sin, 350.0 + dy * cos + dx * sin];
        let want = [(800.0 + dx) * 255.0 / 1700.0, (400.0 + dy) * 255.0 / 1300.0];
        let got = px(&slanted, x as u32, y as u32);
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 3.0, "{dx} {dy}: {got} for {want}");
        }
    }
}

#[test]
fn beyond_the_slide_it_is_white() {
    let bench = Bench::new();
    let whole = FigureRequest::view([850.0, 650.0], 4.0, [600, 500]);
    for degrees in [0.0, 90.0, 45.0] {
        let figure = bench.export(&FigureRequest { rotation_degrees: degrees, ..whole.clone() }, "wide.png");
        assert_eq!([px(&figure, 0, 0), px(&figure, 599, 499)], [[255; 3]; 2]);
        let middle = px(&figure, 300, 250);
        assert!(middle[0].abs_diff(127) <= 4 && middle[1].abs_diff(127) <= 4, "{degrees}: {middle:?}");
    }
    let off = FigureRequest::view([-5000.0, 0.0], 1.0, [20, 20]);
    assert!(bench.export(&off, "off.png").pixels().iter().all(|&value| value == 255));
}

#[test]
fn annotations_and_the_bar_are_drawn() {
    let bench = Bench::new();
    let annotation = |shape| Annotation {
        id: new_annotation_id(),
        shape,
        class: Some(AnnotationClass { name: "Tumor".into(), color: [200, 0, 0] }),
        title: String::new(),
        note: String::new(),
        color: None,
    };
    let square = annotation(Shape::Rectangle { origin: [400.0, 400.0], size: [200.0, 200.0] });
    let hole = vec![[450.0, 450.0], [500.0, 450.0], [500.0, 500.0]];
    let square = Feature { holes: vec![hole], ..Feature::from(square) };
    let dot = annotation(Shape::Point { at: [900.0, 500.0] });
    let dot = Feature::from(Annotation { color: Some([0, 0, 255]), ..dot });
    let mut request = FigureRequest::region([300.0, 300.0], [1000.0, 800.0], 2.0);
    request.features = vec![square, dot];
    request.stroke_px = 5.0;
    let figure = bench.export(&request, "annotated.png");
    assert_eq!(px(&figure, 100, 50), [200, 0, 0], "the rectangle's upper edge");
    assert_eq!(px(&figure, 90, 75), [200, 0, 0], "the hole");
    assert_eq!(px(&figure, 300, 100), [0, 0, 255], "the point");
    let bare = bench.export(&FigureRequest { features: Vec::new(), ..request.clone() }, "bare.png");
    assert_eq!(px(&figure, 75, 140), px(&bare, 75, 140), "nothing is filled in");

    // 500 px of 1 µm: a bar of 100 µm.
    request.features.clear();
    request.scale_bar = Some(Corner::BottomRight);
    let bar = request.bar(bench.slide.info());
    assert_eq!((bar.text.as_str(), bar.length_px), ("100 µm", 100.0));
    let figure = bench.export(&request, "bar.png");
    let dark = |x: u32, y: u32| px(&figure, x, y) == [0; 3];
    let longest = (0..400).map(|y| (0..500).filter(|&x| dark(x, y)).count()).max().unwrap();
    assert!((97..=100).contains(&longest), "{longest}");
    let changed = |corner: [u32; 2]| px(&figure, corner[0], corner[1]) != px(&bare, corner[0], corner[1]);
    assert!(changed([430, 370]) && !changed([20, 20]));

    // Twice as large: the same place, lines twice as wide.
    let large = request.clone().enlarged(2.0);
    assert_eq!((large.size_px, large.downsample, large.stroke_px), ([1000, 800], 1.0, 10.0));
    assert_eq!(large.bar(bench.slide.info()).text, "100 µm");
}

#[test]
fn the_scale_is_written_and_nothing_else() {
    let bench = Bench::new();
    let request = FigureRequest::region([0.0, 0.0], [64.0, 64.0], 2.0);
    bench.export(&request, "scale.tif");
    let tiff = Slide::open(&bench.folder.path().join("scale.tif")).unwrap();
    assert!((tiff.info().mpp.unwrap().um_per_px() - 1.0).abs() < 1e-3);
    bench.export(&request, "scale.png");
    let file = std::io::BufReader::new(std::fs::File::open(bench.folder.path().join("scale.png")).unwrap());
    let reader = png::Decoder::new(file).read_info().unwrap();
    assert_eq!(reader.info().pixel_dims.unwrap().xppu, 1_000_000);
    bench.export(&request, "scale.jpg");
    let bytes = std::fs::read(bench.folder.path().join("scale.jpg")).unwrap();
    // JFIF: unit 2 is the centimetre, then 10 000 across and down.
    assert_eq!(&bytes[13..18], [2, 0x27, 0x10, 0x27, 0x10]);
    for name in ["scale.tif", "scale.png", "scale.jpg"] {
        let bytes = std::fs::read(bench.folder.path().join(name)).unwrap();
        let words = bytes.windows(5).any(|part| part == b"drawn");
        assert!(!words, "{name} does not name the slide");
    }
}

#[test]
fn what_cannot_be_made_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let check = |request: &FigureRequest, name: &str, expected: &str| {
        let path = bench.folder.path().join(name);
        let error = export_figure(&bench.slide, request, &path).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!path.exists());
    };
    let view = FigureRequest::view([800.0, 600.0], 1.0, [100, 100]);
    check(&view, "figure.gif", "no picture format");
    check(&view, "figure", "no picture format");
    check(&FigureRequest { size_px: [0, 5], ..view.clone() }, "a.png", "cannot be made");
    check(&FigureRequest { size_px: [20_000, 20_000], ..view.clone() }, "a.png", "cannot be made");
    check(&FigureRequest { size_px: [70_000, 5], ..view.clone() }, "a.png", "cannot be made");
    check(&FigureRequest { downsample: f64::NAN, ..view.clone() }, "a.png", "no view");
    check(&FigureRequest { center_base_px: [f64::INFINITY, 0.0], ..view.clone() }, "a.png", "no view");
    check(&view, "absent/a.png", "cannot write");
    for name in ["a.png", "a.jpg", "a.tif"] {
        let path = bench.folder.path().join(name);
        let stopped = export_figure_watched(&bench.slide, &view, &path, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(FigureError::Stopped)), "{name}: {stopped:?}");
        assert!(!path.exists());
    }
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 1, "only the slide");
}
