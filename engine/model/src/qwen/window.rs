//! In which order the vision tower keeps its patches, so that attention runs in equal batches.
//!
//! Most blocks attend within windows of 112 px; windows at the right and lower edge are smaller. Here all
//! windows of one size, over all pictures of a call, lie one after another, so that each size is one
//! batched attention without masks or copies. The few blocks that attend within whole pictures gather the
//! cells of each picture together, pictures of one size in one batch. Attention does not depend on the
//! order within its set, so results equal those of the reference's order (window by window, picture by
//! picture). The test vectors at the end are those of the reference's window index.

use eosin_core::PatchGrid;

/// Consecutive sets of one size that attend within themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Sets.
    pub n_set: usize,
    /// Patches in each.
    pub n_patch: usize,
}

/// An order of the merged cells of several pictures.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    /// For each place, the cell that stands there: cells are numbered picture by picture, row by row.
    pub order: Vec<u32>,
    /// For each cell, its place.
    pub place: Vec<u32>,
    /// Windows of equal size, in the order of `order`.
    pub windows: Vec<Run>,
    /// Pictures of equal size, in the order of `pictures_order`.
    pub pictures: Vec<Run>,
    /// For each place of the order picture by picture, its place in `order`; `None` where both are one.
    pub pictures_order: Option<Vec<u32>>,
}

/// Cells of each window of one picture, windows and cells row by row, as the reference enumerates them.
pub fn windows_of(grid: &PatchGrid, window: usize) -> Vec<Vec<u32>> {
    let [rows, columns] = grid.merged_rows_columns();
    let mut windows = Vec::new();
    for top in (0..rows).step_by(window) {
        for left in (0..columns).step_by(window) {
            let cells = (top..rows.min(top + window)).flat_map(|row| {
                (left..columns.min(left + window)).map(move |column| (row * columns + column) as u32)
            });
            windows.push(cells.collect());
        }
    }
    windows
}

/// Sorts sets by size, keeping the order of equals, and counts runs; `cell` patches a cell.
fn runs(mut sets: Vec<Vec<u32>>, cell: usize) -> (Vec<u32>, Vec<Run>) {
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let runs = sets
        .chunk_by(|a, b| a.len() == b.len())
        .map(|run| Run { n_set: run.len(), n_patch: run[0].len() * cell });
    let runs = runs.collect();
    (sets.concat(), runs)
}

/// `inverse[order[i]] = i`.
fn invert(order: &[u32]) -> Vec<u32> {
    let mut inverse = vec![0; order.len()];
    for (place, cell) in order.iter().enumerate() {
        inverse[*cell as usize] = place as u32;
    }
    inverse
}

impl WindowPlan {
    /// Plans the windows, `window` cells a side, of all pictures of one call.
    pub fn new(grids: &[PatchGrid], window: usize) -> Self {
        let cell = grids.first().map_or(1, |grid| grid.merge() * grid.merge());
        let mut n_cell = 0;
        let (mut windows, mut pictures) = (Vec::new(), Vec::new());
        for grid in grids {
            windows.extend(
                windows_of(grid, window)
                    .into_iter()
                    .map(|set| set.into_iter().map(|idx| n_cell + idx).collect::<Vec<u32>>()),
            );
            // In the order of the picture's own windows: then a picture whose windows are all of one size,
            // as most are, needs no gathering.
            pictures.push(windows_of(grid, window).concat().into_iter().map(|idx| n_cell + idx).collect());
            n_cell += grid.n_token() as u32;
        }
        let (order, windows) = runs(windows, cell);
        let place = invert(&order);
        let (pictures_cells, pictures) = runs(pictures, cell);
        let pictures_order: Vec<u32> = pictures_cells.iter().map(|idx| place[*idx as usize]).collect();
        let moved = pictures_order.iter().enumerate().any(|(i, place)| i != *place as usize);
        Self { order, place, windows, pictures, pictures_order: moved.then_some(pictures_order) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid([rows, columns]: [u32; 2]) -> PatchGrid {
        PatchGrid::new([columns * 28, rows * 28], 14, 2).unwrap()
    }

    #[test]
    fn windows_are_those_of_the_reference() {
        let check = |cells: [u32; 2], expected_order: &[u32], expected_ends: &[usize]| {
            let windows = windows_of(&grid(cells), 4);
            let mut end = 0;
            let ends: Vec<usize> = windows
                .iter()
                .map(|set| {
                    end += set.len() * 4;
                    end
                })
                .collect();
            assert_eq!(ends, expected_ends, "{cells:?}");
            if !expected_order.is_empty() {
                assert_eq!(windows.concat(), expected_order, "{cells:?}");
            }
        };
        let order = [
            0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15, 18, 19, 20, 21, 4, 5, 10, 11, 16, 17, 22, 23, 24, 25, 26,
            27, 28, 29,
        ];
        check([5, 6], &order, &[64, 96, 112, 120]);
        check([4, 4], &[], &[64]);
        check([8, 4], &[], &[64, 128]);
    }

    #[test]
    fn sets_of_one_size_lie_together_and_nothing_is_lost() {
        let grids = [grid([5, 6]), grid([8, 4]), grid([1, 1]), grid([5, 6])];
        let plan = WindowPlan::new(&grids, 4);
        let mut cells = plan.order.clone();
        cells.sort_unstable();
        assert!(cells.iter().enumerate().all(|(i, cell)| i == *cell as usize));
        let n_patch: usize = plan.windows.iter().map(|run| run.n_set * run.n_patch).sum();
        assert_eq!(n_patch, grids.iter().map(PatchGrid::n_patch).sum::<usize>());
        assert_eq!(plan.windows[0], Run { n_set: 4, n_patch: 64 });
        assert_eq!(plan.pictures[0], Run { n_set: 1, n_patch: 128 });
        assert_eq!(plan.pictures[1], Run { n_set: 2, n_patch: 120 });
        assert!(plan.pictures_order.is_some());
        // Square pictures of whole windows: no block needs to gather.
        let plan = WindowPlan::new(&[grid([8, 8]), grid([8, 8])], 4);
        assert!(plan.pictures_order.is_none());
        assert_eq!(
            (plan.windows, plan.pictures),
            (vec![Run { n_set: 8, n_patch: 64 }], vec![Run { n_set: 2, n_patch: 256 }])
        );
    }
}
