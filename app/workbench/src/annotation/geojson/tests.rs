//! What QuPath writes is read, what is written is read back, and nothing panics.

use proptest::prelude::*;

use super::*;
use crate::annotation::new_annotation_id;

fn written(features: &[Feature]) -> String {
    let mut bytes = Vec::new();
    write(features, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn read_one(text: &str) -> Feature {
    let reading = read(text.as_bytes());
    assert_eq!((reading.fault, reading.n_refused), (None, 0), "{text}: {:?}", reading.refused);
    assert_eq!(reading.features.len(), 1, "{text}");
    reading.features.into_iter().next().unwrap()
}

/// As QuPath 0.5 writes it.
const QUPATH: &str = r#"{"type":"FeatureCollection","features":[
{"type":"Feature","id":"7d8de6b5-bd11-4a52-93e9-b6a2a4a9a5c4","geometry":{"type":"Polygon","coordinates":[[[100,200],[150.5,200],[150.5,260.25],[100,260.25],[100,200]]]},"properties":{"objectType":"annotation","classification":{"name":"Tumor","color":[200,0,0]}}},
{"type":"Feature","id":"5b8ae0f8-7f5b-44a8-a9a5-1d2ac5d1b3a0","geometry":{"type":"Polygon","coordinates":[[[0,0],[10,0],[12,9],[0,0]]],"plane":{"c":-1,"z":2,"t":0},"isEllipse":true},"properties":{"objectType":"annotation","name":"duct","color":[1,2,3],"isLocked":true,"measurements":{"Area µm^2":12.5},"metadata":{"ANNOTATION_DESCRIPTION":"see me","k":"v"}}},
{"type":"Feature","id":"0fb8a2c5-08d9-4b0b-8a3d-d71a1d0c0f55","geometry":{"type":"MultiPoint","coordinates":[[1,2],[3,4]]},"properties":{"objectType":"annotation","classification":{"names":["Immune cells","Positive"],"color":[7,8,9]}}}]}"#;

#[test]
fn what_qupath_writes_is_read() {
    let reading = read(QUPATH.as_bytes());
    assert_eq!((reading.fault.as_ref(), reading.n_refused, reading.n_split), (None, 0, 1));
    let [rectangle, ellipse, first, second] = &reading.features[..] else { panic!("{reading:?}") };
    let tumor = AnnotationClass { name: "Tumor".into(), color: [200, 0, 0] };
    assert_eq!(rectangle.annotation.shape, Shape::Rectangle { origin: [100.0, 200.0], size: [50.5, 60.25] });
    assert_eq!(rectangle.annotation.class, Some(tumor));
    assert_eq!(rectangle.annotation.id.0, "7d8de6b5-bd11-4a52-93e9-b6a2a4a9a5c4");
    let annotation = &ellipse.annotation;
    assert_eq!((annotation.title.as_str(), annotation.note.as_str()), ("duct", "see me"));
    assert_eq!((annotation.color, ellipse.locked), (Some([1, 2, 3]), true));
    assert_eq!(first.annotation.id.0, "0fb8a2c5-08d9-4b0b-8a3d-d71a1d0c0f55");
    assert_ne!(first.annotation.id, second.annotation.id);
    assert_eq!(second.annotation.shape, Shape::Point { at: [3.0, 4.0] });
    assert_eq!(second.annotation.class.as_ref().unwrap().name, "Immune cells: Positive");

    let text = written(&reading.features);
    for kept in
        [r#""plane":{"c":-1,"z":2,"t":0}"#, r#""isEllipse":true"#, r#""Area µm^2":12.5"#, r#""k":"v""#]
    {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert_eq!(read(text.as_bytes()).features, reading.features);
    assert_eq!(text.lines().count(), reading.features.len() + 2, "one feature a line");

    // An outline that changes is no ellipse any more.
    let mut moved = ellipse.clone();
    moved.change(Annotation { shape: Shape::Point { at: [0.0, 0.0] }, ..ellipse.annotation.clone() });
    assert!(!written(&[moved]).contains("isEllipse"));
}

#[test]
fn older_and_barer_forms_are_read() {
    // QuPath 0.2: the kind as name, packed colours, a bare list.
    let old = r#"[{"type":"Feature","id":"PathAnnotationObject","geometry":{"type":"LineString","coordinates":[[0,0],[3,4]]},"properties":{"classification":{"name":"Stroma","colorRGB":-6895466},"colorRGB":-65536,"isLocked":false}},
    {"type":"Feature","id":"PathAnnotationObject","geometry":{"type":"LineString","coordinates":[[0,0],[3,4]]},"properties":{}}]"#;
    let reading = read(old.as_bytes());
    let [first, second] = &reading.features[..] else { panic!("{reading:?}") };
    assert_eq!(first.annotation.class.as_ref().unwrap().color, [150, 200, 150]);
    assert_eq!(first.annotation.color, Some([255, 0, 0]));
    assert_ne!(first.annotation.id, second.annotation.id, "equal features are two");
    assert_eq!(read(old.as_bytes()), reading, "names follow from the file");

    let feature = |geometry: &str, properties: &str| {
        format!(r#"{{"type":"Feature","geometry":{geometry},"properties":{properties}}}"#)
    };
    let point = r#"{"type":"Point","coordinates":[5,6,7]}"#;
    assert_eq!(read_one(&feature(point, "null")).annotation.shape, Shape::Point { at: [5.0, 6.0] });
    let named = read_one(&feature(point, r#"{"classification":"Necrosis"}"#));
    assert_eq!(named.annotation.class.unwrap().color, [50, 50, 50]);
    let holed = feature(
        r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]],[[1,1],[2,1],[2,2],[1,1]]]}"#,
        r#"{"objectType":"detection"}"#,
    );
    let read_back = read_one(&holed);
    assert_eq!(read_back.holes, [vec![[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]]]);
    assert_eq!(read_one(&written(std::slice::from_ref(&read_back))), read_back);
    assert!(written(&[read_back]).contains(r#""objectType":"detection""#));
    let collection = r#"{"type":"GeometryCollection","geometries":[{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]],[[[5,5],[6,5],[6,6],[5,5]]]]},{"type":"Point","coordinates":[1,1]}]}"#;
    assert_eq!(read(feature(collection, "{}").as_bytes()).features.len(), 3);
}

#[test]
fn nonsense_is_refused_by_itself() {
    let check = |feature: &str, reason: &str| {
        let text =
            format!(r#"{{"features":[{feature},{{"geometry":{{"type":"Point","coordinates":[1,2]}}}}]}}"#);
        let reading = read(text.as_bytes());
        assert_eq!((reading.fault.as_ref(), reading.n_refused), (None, 1), "{text}");
        assert_eq!(reading.features.len(), 1, "the other is read");
        assert!(reading.refused[0].reason.contains(reason), "{feature}: {:?}", reading.refused);
    };
    check("1", "no object");
    check(r#"{"type":"Thing"}"#, "type");
    check(r#"{"geometry":null}"#, "no geometry");
    check(r#"{"geometry":{"type":"Circle","coordinates":[]}}"#, "no known type");
    check(r#"{"geometry":{"type":"Point"}}"#, "no coordinates");
    check(r#"{"geometry":{"type":"Point","coordinates":[1]}}"#, "two numbers");
    check(r#"{"geometry":{"type":"Point","coordinates":["1",2]}}"#, "two numbers");
    check(r#"{"geometry":{"type":"Point","coordinates":[1e12,2]}}"#, "nowhere");
    check(r#"{"geometry":{"type":"LineString","coordinates":[[1,2]]}}"#, "fewer than two");
    check(r#"{"geometry":{"type":"Polygon","coordinates":[]}}"#, "no outline");
    check(r#"{"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,1],[0,0]]]}}"#, "fewer than three");
    check(r#"{"geometry":{"type":"MultiPoint","coordinates":[]}}"#, "no parts");
    check(r#"{"geometry":{"type":"Point","coordinates":[1,2]},"properties":3}"#, "properties");
}

#[test]
fn a_file_that_breaks_off_gives_what_stood_before() {
    let whole = QUPATH.trim_end();
    for end in 0..whole.len() {
        if !whole.is_char_boundary(end) {
            continue;
        }
        let reading = read(&whole.as_bytes()[..end]);
        assert!(reading.fault.is_some(), "{end}");
        assert!(!reading.fault.unwrap().contains('\n'));
    }
    let second = whole.find("\n{\"type\":\"Feature\",\"id\":\"0fb").unwrap();
    assert_eq!(read(&whole.as_bytes()[..second + 40]).features.len(), 2);
    for text in ["", "{}", "3", "\"x\"", "{\"type\":\"FeatureCollection\"}", "\u{feff}[]", "nonsense"] {
        assert!(read(text.as_bytes()).fault.is_some(), "{text:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(read(deep.as_bytes()).fault.is_some());
    let deep = format!(
        r#"{{"features":[{{"geometry":{}"#,
        r#"{"type":"GeometryCollection","geometries":[{"#.repeat(10_000)
    );
    assert!(read(deep.as_bytes()).fault.is_some());
    let many = format!("[{}1]", "1,".repeat(FEATURES_MAX));
    let reading = read(many.as_bytes());
    assert!(reading.fault.unwrap().contains("more than"));
    assert_eq!(reading.refused.len(), REFUSALS_MAX);
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let side = || (-2_000_000_i64..2_000_000).prop_map(|n| n as f64 / 1000.0);
    let size = || (0_i64..2_000_000).prop_map(|n| n as f64 / 1000.0);
    let point = move || (side(), side()).prop_map(|(x, y)| [x, y]);
    let points = move |least: usize| {
        // An outline whose last point is its first one is written without it.
        prop::collection::vec(point(), least..9)
            .prop_filter("closed", |points| points.first() != points.last())
    };
    prop_oneof![
        point().prop_map(|at| Shape::Point { at }),
        prop::collection::vec(point(), 2..9).prop_map(|points| Shape::Line { points }),
        (point(), size(), size()).prop_map(|(origin, w, h)| Shape::Rectangle { origin, size: [w, h] }),
        points(3).prop_map(|points| Shape::Polygon { points }),
        points(3).prop_map(|points| Shape::Freehand { points }),
        // Corners of a rectangle that is a polygon.
        Just(Shape::Polygon { points: vec![[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 2.0]] }),
    ]
}

fn any_feature() -> impl Strategy<Value = Feature> {
    let color = || prop::option::of(any::<[u8; 3]>());
    let class = prop::option::of(("[a-zA-Z*: ]{1,12}", any::<[u8; 3]>()))
        .prop_map(|class| class.map(|(name, color)| AnnotationClass { name, color }));
    (any_shape(), class, "\\PC{0,8}", "(\\PC|\n){0,20}", color(), any::<bool>()).prop_map(
        |(shape, class, title, note, color, locked)| {
            let annotation = Annotation { id: new_annotation_id(), shape, class, title, note, color };
            Feature { locked, ..Feature::from(annotation) }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(features in prop::collection::vec(any_feature(), 0..6)) {
        let text = written(&features);
        let reading = read(text.as_bytes());
        prop_assert_eq!(reading.fault, None);
        prop_assert_eq!(reading.features, features);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn no_change_of_a_file_panics(at in 0..QUPATH.len(), byte in any::<u8>(), cut in 0..QUPATH.len()) {
        let mut bytes = QUPATH.as_bytes().to_vec();
        bytes[at] = byte;
        let text = {
            let reading = read(&bytes);
            written(&reading.features)
        };
        prop_assert_eq!(read(text.as_bytes()).fault, None, "what was read can be written");
        bytes.drain(at.min(cut)..at.max(cut));
        read(&bytes);
    }
}
