//! The steps of the rounded products in the vector registers of 64-bit ARM.
//!
//! Two registers of sixteen bytes make a vector, so a register holds what shares a scale. Every processor of the
//! architecture multiplies bytes to 16 bits and adds these in pairs; most since 2018 sum four products in one
//! instruction. Both factors have signs, so numbers of eight bits stay as they are. Two instructions are spelled out:
//! the standard library has the one for four products and the one for halves only in its unstable part. The tests of
//! `rounded` hold both sets against plain arrays.

#[allow(clippy::wildcard_imports, reason = "some fifty names of instructions")]
use std::arch::aarch64::*;
use std::arch::asm;

use super::vectors::{N_GROUP, Vectors};

/// What every processor of the architecture has.
#[derive(Clone, Copy)]
pub(super) struct Neon;
/// The same with sums of four products.
#[derive(Clone, Copy)]
pub(super) struct NeonDot;

/// Where the two sets differ.
pub(super) trait Dot: Copy {
    /// `sums` + products of bytes with sign, by fours, of which no two together come to 2¹⁵.
    unsafe fn four_products(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t;
}

impl Dot for Neon {
    #[inline(always)]
    unsafe fn four_products(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller is compiled for the instructions.
        unsafe {
            let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            vpadalq_s16(sums, vpaddq_s16(low, vmull_high_s8(a, b)))
        }
    }
}

impl Dot for NeonDot {
    #[inline(always)]
    unsafe fn four_products(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller is compiled for the instruction.
        unsafe { sdot(sums, a, b) }
    }
}

/// `sums` + products of bytes with sign, by fours.
#[inline]
#[target_feature(enable = "dotprod")]
fn sdot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the function is compiled for the instruction, which touches nothing but its registers.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Four halves as floats.
#[inline]
#[target_feature(enable = "neon")]
fn four_floats(halves: uint16x4_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the function is compiled for the instruction, which touches nothing but its registers.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = lateout(vreg) floats, halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}

/// Sixteen bytes without sign as floats.
#[inline]
#[target_feature(enable = "neon")]
fn sixteen_floats(bytes: uint8x16_t) -> [float32x4_t; 4] {
    let [low, high] = [vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes)];
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
        vcvtq_f32_u32(vmovl_high_u16(low)),
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
        vcvtq_f32_u32(vmovl_high_u16(high)),
    ]
}

/// Thirty-two bytes without sign.
///
/// # Safety
/// There are as many.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(source: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: callers stay within their data.
    unsafe { [vld1q_u8(source), vld1q_u8(source.add(16))] }
}

/// Bytes as they are multiplied.
#[inline]
#[target_feature(enable = "neon")]
fn with_sign(bytes: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    [vreinterpretq_s8_u8(bytes[0]), vreinterpretq_s8_u8(bytes[1])]
}

/// The lower or upper four bits of every byte.
#[inline]
#[target_feature(enable = "neon")]
fn nibbles(both: uint8x16_t, upper: usize) -> uint8x16_t {
    if upper == 0 { vandq_u8(both, vdupq_n_u8(15)) } else { vshrq_n_u8::<4>(both) }
}

impl<D: Dot> Vectors for D {
    const N_BYTE: usize = 32;
    const WIDE_ZERO: f32 = 0.0;
    const TILE: usize = 4;

    type Bytes = [int8x16_t; 2];
    type Sums = [int32x4_t; 2];
    type Floats = [float32x4_t; 2];
    type Groups = [float32x4_t; 4];

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self::Bytes {
        // SAFETY: callers are compiled for the instructions and stay within their data; so everywhere here.
        unsafe { with_sign(load(source)) }
    }

    #[inline(always)]
    unsafe fn store(bytes: Self::Bytes, target: *mut u8) {
        // SAFETY: see `load`.
        unsafe {
            vst1q_s8(target.cast(), bytes[0]);
            vst1q_s8(target.add(16).cast(), bytes[1]);
        }
    }

    #[inline(always)]
    unsafe fn four(source: *const i8) -> Self::Bytes {
        // SAFETY: see `load`.
        unsafe {
            let four = vreinterpretq_s8_s32(vdupq_n_s32(source.cast::<i32>().read_unaligned()));
            [four, four]
        }
    }

    #[inline(always)]
    unsafe fn wide(bytes: Self::Bytes) -> Self::Bytes {
        bytes
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see `load`.
        unsafe { [vdupq_n_s32(0), vdupq_n_s32(0)] }
    }

    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, numbers: Self::Bytes, x: Self::Bytes) -> Self::Sums {
        // SAFETY: see `load`. Activations are at least −127, so no two products come to 2¹⁵.
        unsafe { [D::four_products(sums[0], numbers[0], x[0]), D::four_products(sums[1], numbers[1], x[1])] }
    }

    #[inline(always)]
    unsafe fn dot_wide(sums: Self::Sums, numbers: Self::Bytes, x: Self::Bytes) -> Self::Sums {
        // SAFETY: see `load`.
        unsafe { Self::dot(sums, numbers, x) }
    }

    #[inline(always)]
    unsafe fn floats(sums: Self::Sums) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vcvtq_f32_s32(sums[0]), vcvtq_f32_s32(sums[1])] }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vdupq_n_f32(value), vdupq_n_f32(value)] }
    }

    #[inline(always)]
    unsafe fn load_floats(source: *const f32) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vld1q_f32(source), vld1q_f32(source.add(4))] }
    }

    #[inline(always)]
    unsafe fn store_floats(floats: Self::Floats, target: *mut f32) {
        // SAFETY: see `load`.
        unsafe {
            vst1q_f32(target, floats[0]);
            vst1q_f32(target.add(4), floats[1]);
        }
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn add_product(total: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vfmaq_f32(total[0], a[0], b[0]), vfmaq_f32(total[1], a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn take_product(total: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vfmsq_f32(total[0], a[0], b[0]), vfmsq_f32(total[1], a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn product_less(a: Self::Floats, b: Self::Floats, less: Self::Floats) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe { [vfmaq_f32(vnegq_f32(less[0]), a[0], b[0]), vfmaq_f32(vnegq_f32(less[1]), a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn sum(floats: Self::Floats) -> f32 {
        // SAFETY: see `load`.
        unsafe { vaddvq_f32(vaddq_f32(floats[0], floats[1])) }
    }

    #[inline(always)]
    unsafe fn load_groups(source: &[f32; N_GROUP]) -> Self::Groups {
        // SAFETY: see `load`.
        unsafe {
            let source = source.as_ptr();
            [vld1q_f32(source), vld1q_f32(source.add(4)), vld1q_f32(source.add(8)), vld1q_f32(source.add(12))]
        }
    }

    #[inline(always)]
    unsafe fn store_groups(groups: Self::Groups, target: &mut [f32; N_GROUP]) {
        // SAFETY: see `load`.
        unsafe {
            let target = target.as_mut_ptr();
            vst1q_f32(target, groups[0]);
            vst1q_f32(target.add(4), groups[1]);
            vst1q_f32(target.add(8), groups[2]);
            vst1q_f32(target.add(12), groups[3]);
        }
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8, stride: usize) -> Self::Groups {
        // SAFETY: see `load`.
        unsafe {
            let mut halves = vdupq_n_u16(0);
            macro_rules! insert {
                ($($idx:literal)*) => {
                    $(halves = vld1q_lane_u16::<$idx>(source.add($idx * stride).cast(), halves);)*
                };
            }
            insert!(0 1 2 3 4 5 6 7);
            let [low, high] = [four_floats(vget_low_u16(halves)), four_floats(vget_high_u16(halves))];
            [vzip1q_f32(low, low), vzip2q_f32(low, low), vzip1q_f32(high, high), vzip2q_f32(high, high)]
        }
    }

    #[inline(always)]
    unsafe fn twice(bytes: u64) -> Self::Groups {
        // SAFETY: see `load`.
        unsafe {
            let bytes = vcombine_u8(vcreate_u8(bytes), vcreate_u8(0));
            sixteen_floats(vzip1q_u8(bytes, bytes))
        }
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> Self::Groups {
        // SAFETY: see `load`.
        unsafe {
            let bytes = vld1q_s8(source.cast());
            let [low, high] = [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)];
            [
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                vcvtq_f32_s32(vmovl_high_s16(low)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_high_s16(high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn scale(groups: Self::Groups, factor: f32) -> Self::Groups {
        // SAFETY: see `load`.
        unsafe {
            let factor = vdupq_n_f32(factor);
            Self::product(groups, [factor; 4])
        }
    }

    #[inline(always)]
    unsafe fn scale_by_half(groups: Self::Groups, source: *const u8) -> Self::Groups {
        // SAFETY: see `load`; the instruction takes any address.
        unsafe {
            let factor = four_floats(vld1_dup_u16(source.cast()));
            Self::product(groups, [factor; 4])
        }
    }

    #[inline(always)]
    unsafe fn product(a: Self::Groups, b: Self::Groups) -> Self::Groups {
        // SAFETY: see `load`.
        unsafe {
            [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1]), vmulq_f32(a[2], b[2]), vmulq_f32(a[3], b[3])]
        }
    }

    #[inline(always)]
    unsafe fn spread(groups: Self::Groups, chunk: usize) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe {
            let four = groups[chunk / 2];
            if chunk.is_multiple_of(2) {
                [vdupq_laneq_f32::<0>(four), vdupq_laneq_f32::<1>(four)]
            } else {
                [vdupq_laneq_f32::<2>(four), vdupq_laneq_f32::<3>(four)]
            }
        }
    }

    #[inline(always)]
    unsafe fn take_groups(total: Self::Floats, a: Self::Groups, b: Self::Groups) -> Self::Floats {
        // SAFETY: see `load`.
        unsafe {
            [
                vfmsq_f32(vfmsq_f32(total[0], a[0], b[0]), a[2], b[2]),
                vfmsq_f32(vfmsq_f32(total[1], a[1], b[1]), a[3], b[3]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn q8_0(span: *const u8, chunk: usize) -> Self::Bytes {
        // SAFETY: see `load`.
        unsafe { with_sign(load(span.add(34 * chunk + 2))) }
    }

    #[inline(always)]
    unsafe fn q4_0(span: *const u8, chunk: usize) -> Self::Bytes {
        // SAFETY: see `load`.
        unsafe {
            let both = vld1q_u8(span.add(18 * chunk + 2));
            with_sign([nibbles(both, 0), nibbles(both, 1)])
        }
    }

    #[inline(always)]
    unsafe fn q4_k(span: *const u8, chunk: usize) -> Self::Bytes {
        // SAFETY: see `load`.
        unsafe {
            let both = load(span.add(16 + 32 * (chunk / 2)));
            with_sign([nibbles(both[0], chunk % 2), nibbles(both[1], chunk % 2)])
        }
    }

    #[inline(always)]
    unsafe fn q5_k(span: *const u8, chunk: usize) -> Self::Bytes {
        // SAFETY: see `load`.
        unsafe {
            let (both, tops) = (load(span.add(48 + 32 * (chunk / 2))), load(span.add(16)));
            let (bit, sixteen) = (vdupq_n_u8(1 << chunk), vdupq_n_u8(16));
            with_sign([
                vorrq_u8(nibbles(both[0], chunk % 2), vandq_u8(vtstq_u8(tops[0], bit), sixteen)),
                vorrq_u8(nibbles(both[1], chunk % 2), vandq_u8(vtstq_u8(tops[1], bit), sixteen)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn q6_k(span: *const u8, chunk: usize) -> Self::Bytes {
        // SAFETY: see `load`.
        unsafe {
            let (half, quarter) = (chunk / 4, chunk % 4);
            let (both, tops) =
                (load(span.add(64 * half + 32 * (quarter % 2))), load(span.add(128 + 32 * half)));
            // Two bits of each byte, at 2·quarter, come to stand at four; a shift below zero is to the right.
            let (shift, place) = (vdupq_n_s8(4 - 2 * quarter as i8), vdupq_n_u8(0x30));
            with_sign([
                vorrq_u8(nibbles(both[0], quarter / 2), vandq_u8(vshlq_u8(tops[0], shift), place)),
                vorrq_u8(nibbles(both[1], quarter / 2), vandq_u8(vshlq_u8(tops[1], shift), place)),
            ])
        }
    }
}
