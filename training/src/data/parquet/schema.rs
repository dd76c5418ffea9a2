//! The footer of a parquet file: its columns, where their pages lie, and how rows nest.

use super::thrift::{Item, read_struct};
use super::{Torn, refuse};
use crate::data::at::FileAt;

/// Longest footer.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Most rows that a byte can stand for, by run lengths.
const MAX_ROWS_PER_BYTE: u64 = 8;
/// Deepest column.
const MAX_DEPTH: usize = 32;

/// How the values of a column are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Physical {
    Boolean,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    Fixed(usize),
}

/// A step from the row to a column.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Name under its parent; none where the step only says that there are several.
    pub(super) name: Option<String>,
    /// Whether there may be several: the value is then a list.
    pub(super) repeated: bool,
    /// Definition level from which on this step is there.
    pub(super) definition: u32,
    /// Repetition level of this step.
    pub(super) repetition: u32,
}

/// A column of simple values.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) steps: Vec<Step>,
    pub(super) physical: Physical,
    pub(super) is_text: bool,
    pub(super) max_definition: u32,
    pub(super) max_repetition: u32,
}

/// The pages of one column in one group of rows.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) codec: i64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) n_value: u64,
}

/// A group of rows.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Number of its first row.
    pub(super) first: u64,
    pub(super) n_row: u64,
    pub(super) chunks: Vec<Chunk>,
}

/// What the footer says.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) columns: Vec<Column>,
    pub(super) groups: Vec<Group>,
    pub(super) n_row: u64,
}

impl Schema {
    pub(super) fn read(file: &FileAt) -> Result<Self, Torn> {
        let n_byte = file.n_byte();
        if n_byte < 12 {
            return refuse("too short to be a parquet file");
        }
        let tail = file.read(n_byte - 8, 8).map_err(|_io| Torn("the footer cannot be read"))?;
        match &tail[4..] {
            b"PAR1" => {}
            b"PARE" => return refuse("an encrypted parquet file"),
            _ => return refuse("no parquet file, or one that breaks off"),
        }
        let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        if length > MAX_FOOTER_BYTES || length + 12 > n_byte {
            return refuse("the footer is longer than the file");
        }
        let footer =
            file.read(n_byte - 8 - length, length).map_err(|_io| Torn("the footer cannot be read"))?;
        let (footer, _) = read_struct(&footer)?;
        let columns = columns(footer.list(2))?;
        if columns.is_empty() {
            return refuse("no columns");
        }
        let mut groups = Vec::new();
        let mut n_row = 0_u64;
        for group in footer.list(4) {
            let group = read_group(group, n_row, columns.len(), n_byte)?;
            n_row = n_row.checked_add(group.n_row).ok_or(Torn("more rows than can be"))?;
            groups.push(group);
        }
        // The rows are listed later, eight bytes each: a false number must not cost more than the file.
        if n_row / MAX_ROWS_PER_BYTE > n_byte {
            return refuse("more rows than the file can hold");
        }
        Ok(Self { columns, groups, n_row })
    }
}

fn read_group(group: &Item, first: u64, n_column: usize, n_byte: u64) -> Result<Group, Torn> {
    let n_row = group.count(3)?;
    let mut chunks = Vec::new();
    for chunk in group.list(1) {
        if chunk.text(1).is_some_and(|path| !path.is_empty()) {
            return refuse("columns in other files");
        }
        let meta = chunk.field(3).ok_or(Torn("a column without its header"))?;
        let data = meta.count(9)?;
        // Some writers state 0 where there is no dictionary.
        let start = match meta.count(11) {
            Ok(dictionary) if dictionary > 3 => dictionary.min(data),
            _ => data,
        };
        let end = start.checked_add(meta.count(7)?).filter(|&end| end <= n_byte);
        let end = end.ok_or(Torn("a column is longer than the file"))?;
        chunks.push(Chunk { codec: meta.int(4).unwrap_or(-1), start, end, n_value: meta.count(5)? });
    }
    if chunks.len() != n_column {
        return refuse("a group of rows lacks columns");
    }
    // Each row has at least a level in every column.
    if chunks.iter().any(|chunk| chunk.n_value < n_row) {
        return refuse("fewer values than rows");
    }
    Ok(Group { first, n_row, chunks })
}

/// The columns in order, from the flattened tree.
fn columns(nodes: &[Item]) -> Result<Vec<Column>, Torn> {
    let mut nodes = nodes.iter();
    let root = nodes.next().ok_or(Torn("no columns"))?;
    let mut columns = Vec::new();
    let mut reader = Tree { nodes, columns: &mut columns };
    for _ in 0..root.count(5).unwrap_or(0) {
        reader.node(&[], Parent::Group, 0)?;
    }
    Ok(columns)
}

/// What a node's parent is, which decides whether its own name counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    Group,
    /// A list: its repeated child stands for the list itself.
    List,
    /// That repeated child: an only child of it stands for the element.
    Element,
}

struct Tree<'a, 'b> {
    nodes: std::slice::Iter<'a, Item>,
    columns: &'b mut Vec<Column>,
}

impl Tree<'_, '_> {
    fn node(&mut self, before: &[Step], parent: Parent, depth: usize) -> Result<(), Torn> {
        if depth > MAX_DEPTH {
            return refuse("columns are nested too deep");
        }
        let node = self.nodes.next().ok_or(Torn("a column is missing"))?;
        let name = node.text(4).unwrap_or_default();
        let n_child = node.count(5).unwrap_or(0);
        let last = before.last();
        let (definition, repetition) = last.map_or((0, 0), |step| (step.definition, step.repetition));
        let kind = node.int(3).unwrap_or(0);
        let repeated = kind == 2;
        let named = match parent {
            Parent::Group => true,
            Parent::List => !repeated,
            Parent::Element => false,
        };
        let step = Step {
            name: named.then_some(name),
            repeated,
            definition: definition + u32::from(kind != 0),
            repetition: repetition + u32::from(repeated),
        };
        let mut steps = before.to_vec();
        steps.push(step);
        if n_child == 0 {
            let physical = physical(node)?;
            let is_text = matches!(node.int(6), Some(0 | 4 | 19))
                || node
                    .field(10)
                    .is_some_and(|logical| [1, 4, 12].iter().any(|kind| logical.field(*kind).is_some()));
            let (max_definition, max_repetition) =
                steps.last().map_or((0, 0), |step| (step.definition, step.repetition));
            self.columns.push(Column { steps, physical, is_text, max_definition, max_repetition });
            return Ok(());
        }
        let is_list =
            node.int(6) == Some(3) || node.field(10).is_some_and(|logical| logical.field(3).is_some());
        let inner = match parent {
            _ if is_list && !repeated => Parent::List,
            Parent::List if repeated && n_child == 1 => Parent::Element,
            _ => Parent::Group,
        };
        for _ in 0..n_child {
            self.node(&steps, inner, depth + 1)?;
        }
        Ok(())
    }
}

fn physical(node: &Item) -> Result<Physical, Torn> {
    Ok(match node.int(1) {
        Some(0) => Physical::Boolean,
        Some(1) => Physical::Int32,
        Some(2) => Physical::Int64,
        Some(3) => Physical::Int96,
        Some(4) => Physical::Float,
        Some(5) => Physical::Double,
        Some(6) => Physical::Bytes,
        Some(7) => {
            let n_byte = node.count(2)?;
            let n_byte = usize::try_from(n_byte).ok().filter(|n_byte| *n_byte > 0 && *n_byte <= 1 << 20);
            Physical::Fixed(n_byte.ok_or(Torn("a column of impossible width"))?)
        }
        _ => return refuse("a column of no known kind"),
    })
}
