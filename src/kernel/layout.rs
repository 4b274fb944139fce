//! Reflection of parameter structs.

/// One member of a parameter struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The member's name, the same in WGSL.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Its WGSL type: `u32`, `i32` or `f32`.
    pub ty: &'static str,
}

/// Name and members of a parameter struct.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The struct's name, the same in WGSL.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Members in order.
    pub fields: &'static [Field],
}

/// A parameter struct and its reflection.
pub trait Params: bytemuck::Pod {
    /// Name, size and members.
    const LAYOUT: Layout;
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),+ }

        impl Params for $name {
            const LAYOUT: Layout = Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                fields: &[$(Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    ty: stringify!($ty),
                }),+],
            };
        }
    )+};
}

pub(super) use params;
