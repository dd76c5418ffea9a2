//! Pixels as read, and the grid of patches that a vision model cuts them into.

/// An 8-bit RGB picture in memory, row-major, three bytes a pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbTile {
    size_px: [u32; 2],
    pixels: Vec<u8>,
}

/// A picture whose bytes do not fit its size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {width_px} × {height_px} px cannot have {n_byte} bytes")]
pub struct TileError {
    width_px: u32,
    height_px: u32,
    n_byte: usize,
}

impl RgbTile {
    /// Takes `width × height × 3` bytes; an empty side is refused.
    pub fn new(size_px: [u32; 2], pixels: Vec<u8>) -> Result<Self, TileError> {
        let n_byte = u128::from(size_px[0]) * u128::from(size_px[1]) * 3;
        if n_byte == 0 || n_byte != pixels.len() as u128 {
            let [width_px, height_px] = size_px;
            return Err(TileError { width_px, height_px, n_byte: pixels.len() });
        }
        Ok(Self { size_px, pixels })
    }

    /// Width and height.
    pub fn size_px(&self) -> [u32; 2] {
        self.size_px
    }

    /// Width.
    pub fn width_px(&self) -> u32 {
        self.size_px[0]
    }

    /// Height.
    pub fn height_px(&self) -> u32 {
        self.size_px[1]
    }

    /// The bytes, row-major, `RGB`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, to be changed in place; their number stays.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Gives the bytes away.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

impl std::fmt::Debug for RgbTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Pixels are patient data: never printed.
        write!(f, "RgbTile({} × {} px)", self.size_px[0], self.size_px[1])
    }
}

/// Patches of one image and the tokens they merge into.
///
/// ```
/// # use eosin_core::PatchGrid;
/// // 448 × 336 px in 14 px patches is 32 columns × 24 rows; 2 × 2 patches make a token.
/// let grid = PatchGrid::new([448, 336], 14, 2)?;
/// assert_eq!((grid.n_patch(), grid.n_token()), (768, 192));
/// assert_eq!(grid.thw(), [1, 24, 32]);
/// # Ok::<(), eosin_core::GridError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PatchGrid {
    columns: usize,
    rows: usize,
    merge: usize,
}

/// A picture that cannot be cut into whole merged patches.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size_px:?} px is not a whole number of {unit_px} px cells")]
pub struct GridError {
    size_px: [u32; 2],
    unit_px: u32,
}

impl PatchGrid {
    /// The grid of a picture whose sides are multiples of `patch_px × merge`.
    pub fn new(size_px: [u32; 2], patch_px: u32, merge: u32) -> Result<Self, GridError> {
        let unit_px = patch_px * merge;
        let whole = |side: u32| unit_px > 0 && side > 0 && side.is_multiple_of(unit_px);
        if !size_px.into_iter().all(whole) {
            return Err(GridError { size_px, unit_px });
        }
        let [columns, rows] = size_px.map(|side| (side / patch_px) as usize);
        Ok(Self { columns, rows, merge: merge as usize })
    }

    /// Patches in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Patches in a column.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Patches merged along one side.
    pub fn merge(&self) -> usize {
        self.merge
    }

    /// Rows and columns of merged cells.
    pub fn merged_rows_columns(&self) -> [usize; 2] {
        [self.rows / self.merge, self.columns / self.merge]
    }

    /// Patches of the whole picture.
    pub fn n_patch(&self) -> usize {
        self.columns * self.rows
    }

    /// Text-model tokens of the whole picture.
    pub fn n_token(&self) -> usize {
        self.n_patch() / (self.merge * self.merge)
    }

    /// `[frames, rows, columns]` in patches, as `image_grid_thw` of the reference; a still has one frame.
    pub fn thw(&self) -> [usize; 3] {
        [1, self.rows, self.columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_needs_exactly_its_bytes() {
        assert!(RgbTile::new([2, 3], vec![0; 18]).is_ok());
        for (size_px, n_byte) in [([2, 3], 17), ([0, 3], 0), ([u32::MAX, u32::MAX], 3)] {
            assert!(RgbTile::new(size_px, vec![0; n_byte]).is_err(), "{size_px:?}");
        }
    }

    #[test]
    fn a_grid_needs_whole_cells() {
        for size_px in [[0, 28], [27, 28], [28, 14]] {
            assert!(PatchGrid::new(size_px, 14, 2).is_err(), "{size_px:?}");
        }
    }
}
