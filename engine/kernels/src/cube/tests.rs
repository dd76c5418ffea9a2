//! Every form of the packed kernels against products in double precision: odd sizes, scales from zero and subnormal
//! to the largest. On the first wgpu adapter; a machine without one says that it skipped.

use burn::backend::Cube;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use eosin_core::DeviceChoice;
use eosin_weights::{GgmlType, dequantize};

use super::linear::Adding;
use super::{linear, tile};
use crate::ops::Layout;
use crate::testing::{Fill, packed, uniform};

/// The first wgpu adapter, where there is one.
pub(super) fn device() -> Option<Device> {
    match crate::select(DeviceChoice::Wgpu(0)) {
        Ok(selected) => Some(selected.device),
        Err(error) => {
            eprintln!("cube: skipped: {error}");
            None
        }
    }
}

/// A tensor as the kernels take it.
pub(super) fn on_device<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> CubeTensor {
    Tensor::<D>::from_data(TensorData::new(values, shape), device).try_into_primitive::<Cube>().unwrap()
}

/// What a kernel made.
pub(super) fn read<const D: usize>(tensor: CubeTensor) -> Vec<f32> {
    Tensor::<D>::from_primitive::<Cube>(tensor).into_data().try_into_vec::<f32>().unwrap()
}

/// One way through the kernels.
type Product = (&'static str, fn(CubeTensor, CubeTensor, Layout) -> CubeTensor);

/// The size of planes where they have one: software rasterisers have planes, too, which the library does not offer.
fn planes(client: &cubecl::client::Client) -> Option<usize> {
    let hardware = &client.properties().hardware;
    let size = hardware.plane_size_max;
    (size >= 4 && size == hardware.plane_size_min).then_some(size as usize)
}

fn products(client: &cubecl::client::Client, m: usize) -> Vec<Product> {
    let mut products: Vec<Product> = vec![("tile", tile::launch)];
    if m <= super::N_DIRECT {
        products.push(("shared", |x, blocks, layout| {
            linear::launch_adding(x, blocks, layout, Adding::Shared, linear::N_UNIT)
        }));
        products.push(("own choice", linear::launch));
        if planes(client).is_some() {
            products.push(("plane", |x, blocks, layout| {
                let n_unit = planes(&x.client).expect("asked above");
                linear::launch_adding(x, blocks, layout, Adding::Plane, n_unit)
            }));
        }
    }
    products
}

#[test]
fn every_product_equals_the_one_in_double_precision() {
    let Some(device) = device() else { return };
    let client = on_device(vec![0.0], [1], &device).client;
    eprintln!("cube: sums are added by {:?}", linear::adding(&client));
    let check = |kind: GgmlType, [rows, cols]: [usize; 2], m: usize, fill: Fill| {
        let layout = Layout::new(kind, [rows, cols]);
        let bytes = packed(kind, [rows, cols], fill, 41);
        let mut weights = vec![0.0; rows * cols];
        dequantize(kind, &bytes, &mut weights);
        let words = super::words(&bytes, kind);
        let n = words.len();
        let blocks =
            Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(words, [n]), (&device, DType::U32));
        let blocks = blocks.try_into_primitive::<Cube>().unwrap();
        let x = uniform(m * cols, 43);
        for (name, product) in products(&client, m) {
            let y = read::<2>(product(on_device(x.clone(), [m, cols], &device), blocks.clone(), layout));
            assert_eq!(y.len(), m * rows);
            for (idx, y) in y.iter().enumerate() {
                let (x, w) = (&x[idx / rows * cols..][..cols], &weights[idx % rows * cols..][..cols]);
                let products = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                let (sum, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
                let error = (f64::from(*y) - sum).abs();
                assert!(
                    error <= 1e-5 * size,
                    "{name} {kind} {rows} × {cols}, {m} {fill:?}: {error} of {size}"
                );
            }
        }
    };
    for kind in GgmlType::ALL {
        let block = kind.block_len().max(32);
        for fill in Fill::ALL {
            check(kind, [19, 2 * block], 1, fill);
        }
        check(kind, [1, block], 1, Fill::Plain);
        check(kind, [33, 3 * block], 8, Fill::Plain);
        check(kind, [66, block], 67, Fill::Plain);
    }
    for kind in [GgmlType::F32, GgmlType::F16, GgmlType::Bf16] {
        for cols in [1, 7, 24, 37, 180] {
            check(kind, [5, cols], 3, Fill::Plain);
            check(kind, [5, cols], 18, Fill::Plain);
        }
    }
}
