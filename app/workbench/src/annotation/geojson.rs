//! GeoJSON as QuPath writes and reads it: a collection of features, or a bare list of them.
//!
//! Files come from anywhere: length, number of features and depth are bounded, coordinates must be finite, a
//! feature that makes no sense is refused by itself, and a file that breaks off gives what stood before. Features
//! are read one after the other, so that a large file is never in memory as a tree. Geometries of several parts
//! become several annotations; rectangles are known again by their corners; holes, and members that Eosin does
//! not know, are kept and written back. Colours are lists of three numbers, or the packed number of older
//! versions. Held true by `geojson/tests.rs`, `tests/annotate.rs` and the fuzz target `geojson`.

use std::collections::HashSet;
use std::fmt;

use eosin_core::annotation::{Annotation, AnnotationClass, AnnotationId, BasePoint, Shape};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Feature, Kept, derived_annotation_id, thousandths};
use crate::classes::color_of_class;

/// Longest file that is read.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most features of a file, and of a slide.
pub const FEATURES_MAX: usize = 100_000;
/// Refusals that are told one by one.
const REFUSALS_MAX: usize = 20;
/// Largest coordinate that is believed: no slide is wider than a thousandth of it.
const COORDINATE_MAX: f64 = 1e9;
/// Longest name of a feature.
const ID_BYTES_MAX: usize = 200;
/// Where QuPath keeps what a person wrote about an annotation.
const NOTE_KEY: &str = "ANNOTATION_DESCRIPTION";
/// Names that QuPath 0.2 gave to every feature of a kind.
const KINDS_AS_IDS: [&str; 6] = [
    "PathAnnotationObject",
    "PathDetectionObject",
    "PathCellObject",
    "PathTileObject",
    "PathRootObject",
    "TMACoreObject",
];
/// Properties that are read, and so not kept as they are.
const KNOWN_PROPERTIES: [&str; 8] =
    ["objectType", "name", "color", "colorRGB", "classification", "isLocked", "metadata", "eosin"];

/// What a file held.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reading {
    /// Its annotations, in its order, each with a name of its own.
    pub features: Vec<Feature>,
    /// The first of those that make no sense.
    pub refused: Vec<Refusal>,
    /// How many make no sense.
    pub n_refused: usize,
    /// Annotations with holes, which are kept and not drawn in.
    pub n_holed: usize,
    /// Features of several parts, each of which became an annotation.
    pub n_split: usize,
    /// Where the file stops being GeoJSON; what stood before was read.
    pub fault: Option<String>,
}

/// A feature that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which, counted from 0.
    pub feature_idx: usize,
    /// Why.
    pub reason: String,
}

/// Reads what can be read; never fails as a whole.
pub fn read(bytes: &[u8]) -> Reading {
    let mut reader = Reader::default();
    if bytes.len() as u64 > FILE_BYTES_MAX {
        reader.reading.fault = Some(format!("it is longer than {FILE_BYTES_MAX} bytes"));
        return reader.reading;
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = Document(&mut reader).deserialize(&mut json).and_then(|()| json.end());
    let mut reading = reader.reading;
    reading.fault = read.err().map(|error| error.to_string());
    reading
}

/// Writes a collection, one feature a line.
pub fn write(features: &[Feature], out: &mut impl std::io::Write) -> std::io::Result<()> {
    out.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
    for (idx, feature) in features.iter().enumerate() {
        out.write_all(if idx == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &value_of(feature))?;
    }
    out.write_all(b"\n]}\n")
}

/// Collects features while the file is read.
#[derive(Default)]
struct Reader {
    reading: Reading,
    ids: HashSet<AnnotationId>,
    n_seen: usize,
}

impl Reader {
    /// Takes a feature, or notes why not. False once there are too many.
    fn take(&mut self, value: Value) -> bool {
        let feature_idx = self.n_seen;
        self.n_seen += 1;
        match parts_of(value) {
            Ok(parts) => {
                if self.reading.features.len() + parts.len() > FEATURES_MAX {
                    return false;
                }
                self.reading.n_split += usize::from(parts.len() > 1);
                for (part_idx, mut feature) in parts.into_iter().enumerate() {
                    self.reading.n_holed += usize::from(!feature.holes.is_empty());
                    self.name(&mut feature, feature_idx, part_idx);
                    self.reading.features.push(feature);
                }
            }
            Err(reason) => {
                self.reading.n_refused += 1;
                if self.reading.refused.len() < REFUSALS_MAX {
                    self.reading.refused.push(Refusal { feature_idx, reason });
                }
            }
        }
        self.n_seen <= FEATURES_MAX
    }

    /// Gives a feature a name that no other has: its own, else one that follows from it and its place.
    fn name(&mut self, feature: &mut Feature, feature_idx: usize, part_idx: usize) {
        let own = std::mem::replace(&mut feature.annotation.id, AnnotationId(String::new()));
        let free = part_idx == 0 && !own.0.is_empty() && !self.ids.contains(&own);
        let id = if free {
            own
        } else {
            let place = [feature_idx.to_le_bytes(), part_idx.to_le_bytes()].concat();
            let outline = geometry_of(feature).to_string();
            derived_annotation_id(&[own.0.as_bytes(), &place, outline.as_bytes()])
        };
        self.ids.insert(id.clone());
        feature.annotation.id = id;
    }
}

/// The file: a list, a collection, or one feature.
struct Document<'a>(&'a mut Reader);
/// The list of features.
struct List<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature, a collection or a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        List(self.0).visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut rest = Map::new();
        let mut listed = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "features" {
                map.next_value_seed(List(self.0))?;
                listed = true;
            } else {
                rest.insert(key, map.next_value()?);
            }
        }
        if rest.get("type").is_some_and(|kind| kind == "Feature") {
            self.0.take(Value::Object(rest));
        } else if !listed {
            return Err(A::Error::custom("an object without features"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            if !self.0.take(value) {
                return Err(A::Error::custom(format!("more than {FEATURES_MAX} features")));
            }
        }
        Ok(())
    }
}

/// An outline and the outlines cut out of it.
type Part = (Shape, Vec<Vec<BasePoint>>);

/// The annotations of one feature.
fn parts_of(value: Value) -> Result<Vec<Feature>, String> {
    let Value::Object(mut members) = value else { return Err("it is no object".into()) };
    if members.get("type").is_some_and(|kind| kind != "Feature") {
        return Err("its type is not Feature".into());
    }
    members.shift_remove("type");
    let Some(Value::Object(mut geometry)) = members.shift_remove("geometry") else {
        return Err("it has no geometry".into());
    };
    let mut properties = match members.shift_remove("properties") {
        Some(Value::Object(properties)) => properties,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err("its properties are no object".into()),
    };
    let id = match members.shift_remove("id") {
        Some(Value::String(id)) if id.len() <= ID_BYTES_MAX && !KINDS_AS_IDS.contains(&id.as_str()) => id,
        Some(Value::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    let mut metadata = match properties.shift_remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    let note = match metadata.shift_remove(NOTE_KEY) {
        Some(Value::String(note)) => note,
        _ => String::new(),
    };
    let text = |name: &str| properties.get(name).and_then(Value::as_str).map(str::to_owned);
    let locked = properties.get("isLocked").and_then(Value::as_bool).unwrap_or(false);
    let color = color_in(&properties);
    let class = properties.get("classification").and_then(class_of);
    let object_type = text("objectType").filter(|kind| kind != "annotation");
    let title = text("name").unwrap_or_default();
    let drawn = properties.get("eosin").and_then(|own| own.get("shape")).and_then(Value::as_str);
    let drawn = drawn.map(str::to_owned);

    let mut parts = Vec::new();
    outlines(&geometry, &mut parts)?;
    if parts.is_empty() {
        return Err("its geometry has no parts".into());
    }
    properties.retain(|name, _| !KNOWN_PROPERTIES.contains(&name.as_str()));
    geometry.retain(|name, _| !["type", "coordinates", "geometries"].contains(&name.as_str()));
    let kept = Kept { object_type, members, properties, metadata, geometry };
    let feature = |(shape, holes): Part| {
        let shape = shape_as_drawn(shape, &holes, drawn.as_deref());
        let (class, title, note, id) = (class.clone(), title.clone(), note.clone(), AnnotationId(id.clone()));
        let annotation = Annotation { id, shape, class, title, note, color };
        Feature { annotation, locked, holes, kept: kept.clone() }
    };
    Ok(parts.into_iter().map(feature).collect())
}

/// All outlines of a geometry.
fn outlines(geometry: &Map<String, Value>, parts: &mut Vec<Part>) -> Result<(), String> {
    let kind = geometry.get("type").and_then(Value::as_str).unwrap_or_default();
    let list = |name: &str| match geometry.get(name) {
        Some(Value::Array(list)) => Ok(list),
        _ => Err(format!("its geometry has no {name}")),
    };
    match kind {
        "GeometryCollection" => {
            for inner in list("geometries")? {
                outlines(inner.as_object().ok_or("a part of its geometry is no object")?, parts)?;
            }
        }
        "Point" => parts.push((Shape::Point { at: position(list("coordinates")?)? }, Vec::new())),
        "MultiPoint" => {
            for at in positions(list("coordinates")?)? {
                parts.push((Shape::Point { at }, Vec::new()));
            }
        }
        "LineString" => parts.push(line(list("coordinates")?)?),
        "MultiLineString" => {
            for inner in list("coordinates")? {
                parts.push(line(inner.as_array().ok_or("a line is no list")?)?);
            }
        }
        "Polygon" => parts.push(polygon(list("coordinates")?)?),
        "MultiPolygon" => {
            for inner in list("coordinates")? {
                parts.push(polygon(inner.as_array().ok_or("a polygon is no list")?)?);
            }
        }
        _ => return Err("its geometry is of no known type".into()),
    }
    Ok(())
}

fn line(list: &[Value]) -> Result<Part, String> {
    let points = positions(list)?;
    if points.len() < 2 {
        return Err("a line has fewer than two points".into());
    }
    Ok((Shape::Line { points }, Vec::new()))
}

fn polygon(rings: &[Value]) -> Result<Part, String> {
    let ring = |value: &Value| -> Result<Vec<BasePoint>, String> {
        let mut points = positions(value.as_array().ok_or("an outline is no list")?)?;
        if points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        if points.len() < 3 {
            return Err("an outline has fewer than three points".into());
        }
        Ok(points)
    };
    let mut rings = rings.iter().map(ring);
    let points = rings.next().ok_or("a polygon has no outline")??;
    let holes = rings.collect::<Result<Vec<_>, _>>()?;
    Ok((Shape::Polygon { points }, holes))
}

fn positions(list: &[Value]) -> Result<Vec<BasePoint>, String> {
    list.iter().map(|value| position(value.as_array().ok_or("a position is no list")?)).collect()
}

/// A position; a third number, the height, is left away.
fn position(list: &[Value]) -> Result<BasePoint, String> {
    let side = |idx: usize| {
        let value = list.get(idx).and_then(Value::as_f64).ok_or("a position has no two numbers")?;
        if value.abs() <= COORDINATE_MAX { Ok(thousandths(value)) } else { Err("a position lies nowhere") }
    };
    Ok([side(0)?, side(1)?])
}

/// The kind of outline that was drawn, where a polygon may stand for others.
fn shape_as_drawn(shape: Shape, holes: &[Vec<BasePoint>], drawn: Option<&str>) -> Shape {
    let Shape::Polygon { points } = shape else { return shape };
    match drawn {
        Some("freehand") => Shape::Freehand { points },
        Some("polygon") => Shape::Polygon { points },
        _ if holes.is_empty() => rectangle_of(&points).unwrap_or(Shape::Polygon { points }),
        _ => Shape::Polygon { points },
    }
}

/// The rectangle whose corners these are, from any corner and either way round.
fn rectangle_of(points: &[BasePoint]) -> Option<Shape> {
    let [a, b, c, d] = points else { return None };
    // All positions were brought to thousandths, so that half of one is no difference.
    let level = |p: f64, q: f64| (p - q).abs() < 0.0005;
    let across = |p: &BasePoint, q: &BasePoint| level(p[1], q[1]);
    let along = |p: &BasePoint, q: &BasePoint| level(p[0], q[0]);
    let flat = across(a, b) && along(b, c) && across(c, d) && along(d, a);
    let steep = along(a, b) && across(b, c) && along(c, d) && across(d, a);
    if !flat && !steep {
        return None;
    }
    let origin = [a[0].min(c[0]), a[1].min(c[1])];
    let size = [(a[0] - c[0]).abs(), (a[1] - c[1]).abs()].map(thousandths);
    Some(Shape::Rectangle { origin, size })
}

fn corners(origin: BasePoint, size: BasePoint) -> Vec<BasePoint> {
    let [left, top] = origin;
    let [right, bottom] = [left + size[0], top + size[1]];
    vec![[left, top], [right, top], [right, bottom], [left, bottom]]
}

/// A colour of its own, in either form.
fn color_in(properties: &Map<String, Value>) -> Option<[u8; 3]> {
    ["color", "colorRGB"].iter().find_map(|name| color_of(properties.get(*name)?))
}

/// `[r, g, b]`, or a packed number whose upper byte is of no account.
fn color_of(value: &Value) -> Option<[u8; 3]> {
    match value {
        Value::Array(list) if list.len() == 3 => {
            let mut color = [0; 3];
            for (channel, value) in color.iter_mut().zip(list) {
                *channel = u8::try_from(value.as_u64()?).ok()?;
            }
            Some(color)
        }
        Value::Number(packed) => {
            let [_, red, green, blue] = (packed.as_i64()? as u32).to_be_bytes();
            Some([red, green, blue])
        }
        _ => None,
    }
}

/// A class: an object with a name, names of a class and those below it, or a name alone.
fn class_of(value: &Value) -> Option<AnnotationClass> {
    let name = match value {
        Value::String(name) => name.clone(),
        Value::Object(class) => match (class.get("name"), class.get("names")) {
            (Some(Value::String(name)), _) => name.clone(),
            (_, Some(Value::Array(names))) => {
                names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(": ")
            }
            _ => return None,
        },
        _ => return None,
    };
    if name.is_empty() {
        return None;
    }
    let color = value.as_object().and_then(color_in).unwrap_or_else(|| color_of_class(&name));
    Some(AnnotationClass { name, color })
}

fn value_of(feature: &Feature) -> Value {
    let Feature { annotation, locked, kept, .. } = feature;
    let mut properties = Map::new();
    let kind = kept.object_type.as_deref().unwrap_or("annotation");
    properties.insert("objectType".into(), kind.into());
    if !annotation.title.is_empty() {
        properties.insert("name".into(), annotation.title.clone().into());
    }
    if let Some(color) = annotation.color {
        properties.insert("color".into(), json!(color));
    }
    if let Some(class) = &annotation.class {
        properties.insert("classification".into(), json!({ "name": class.name, "color": class.color }));
    }
    if *locked {
        properties.insert("isLocked".into(), true.into());
    }
    let mut metadata = kept.metadata.clone();
    if !annotation.note.is_empty() {
        metadata.insert(NOTE_KEY.into(), annotation.note.clone().into());
    }
    if !metadata.is_empty() {
        properties.insert("metadata".into(), metadata.into());
    }
    let drawn = match &annotation.shape {
        Shape::Freehand { .. } => Some("freehand"),
        // It would come back as a rectangle.
        Shape::Polygon { points } if feature.holes.is_empty() && rectangle_of(points).is_some() => {
            Some("polygon")
        }
        _ => None,
    };
    if let Some(drawn) = drawn {
        properties.insert("eosin".into(), json!({ "shape": drawn }));
    }
    properties.extend(kept.properties.clone());
    let mut value = Map::new();
    value.insert("type".into(), "Feature".into());
    value.insert("id".into(), annotation.id.0.clone().into());
    value.insert("geometry".into(), geometry_of(feature));
    value.insert("properties".into(), properties.into());
    value.extend(kept.members.clone());
    value.into()
}

fn geometry_of(feature: &Feature) -> Value {
    let number = |side: f64| {
        // Whole numbers without a point, as other programs write them.
        let side = thousandths(side);
        if side.fract() == 0.0 { json!(side as i64) } else { json!(side) }
    };
    let position = |point: &BasePoint| Value::from(vec![number(point[0]), number(point[1])]);
    let ring = |points: &[BasePoint]| -> Value {
        points.iter().chain(points.first()).map(position).collect::<Vec<_>>().into()
    };
    let area = |outline: &[BasePoint]| -> Value {
        let holes = feature.holes.iter().map(|hole| ring(hole));
        std::iter::once(ring(outline)).chain(holes).collect::<Vec<_>>().into()
    };
    let (kind, coordinates) = match &feature.annotation.shape {
        Shape::Point { at } => ("Point", position(at)),
        Shape::Line { points } => ("LineString", points.iter().map(position).collect::<Vec<_>>().into()),
        Shape::Rectangle { origin, size } => ("Polygon", area(&corners(*origin, *size))),
        Shape::Polygon { points } | Shape::Freehand { points } => ("Polygon", area(points)),
    };
    let mut geometry = Map::new();
    geometry.insert("type".into(), kind.into());
    geometry.insert("coordinates".into(), coordinates);
    geometry.extend(feature.kept.geometry.clone());
    geometry.into()
}

#[cfg(test)]
mod tests;
