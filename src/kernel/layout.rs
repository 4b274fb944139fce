//! Reflection of parameter structs.

/// One member of a parameter struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The member's name, the same in WGSL.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Its type: `u32`, `i32`, `f32`, or `[[u32; 4]; n]` for an array of `vec4u`.
    pub ty: &'static str,
}

/// The uniform of a kernel: its parameter struct, followed by the first workgroup of a dispatch.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The parameter struct's name, the same in WGSL.
    pub name: &'static str,
    /// Size in bytes, a multiple of the alignment of the members.
    pub size: usize,
    /// Members in order.
    pub fields: &'static [Field],
}

/// A parameter struct and its reflection.
pub trait Params: bytemuck::Pod {
    /// The uniform that starts with this struct.
    const LAYOUT: Layout;
}

/// Size of a uniform whose parameter struct has this size, followed by the first workgroup. Arrays of vectors are aligned to 16 bytes.
pub(super) const fn uniform_size(size: usize, types: &[&str]) -> usize {
    let (mut align, mut i) = (size_of::<u32>(), 0);
    while i < types.len() {
        if types[i].as_bytes()[0] == b'[' {
            align = 16;
        }
        i += 1;
    }
    (size + size_of::<u32>()).next_multiple_of(align)
}

/// The member that follows a parameter struct of this size.
pub(super) const fn first_workgroup(size: usize) -> Field {
    Field { name: "first_workgroup", offset: size, ty: "u32" }
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),+ }

        impl Params for $name {
            const LAYOUT: Layout = Layout {
                name: stringify!($name),
                size: uniform_size(size_of::<$name>(), &[$(stringify!($ty)),+]),
                fields: &[$(Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    ty: stringify!($ty),
                },)+ first_workgroup(size_of::<$name>())],
            };
        }
    )+};
}

pub(super) use params;
