//! A macro that forwards methods of an enum to the value inside its variants.

/// Declares methods on an enum that call the method of the same name on whichever variant is held.
///
/// The SDK uses it for its own track and publication enums, so its grammar is part of the API:
/// `enum_dispatch!([A, B]; pub fn name(self: &Self, arg: T) -> R; …)`.
#[macro_export]
macro_rules! enum_dispatch {
    // One method: `$args` travels as one token tree so that it need not be repeated per variant.
    (@call [$($variant:ident),+] $this:ident $method:ident $args:tt) => {
        match $this {
            $(Self::$variant(held) => held.$method $args,)+
        }
    };
    (@method [$($variant:ident),+]
        $vis:vis fn $method:ident($this:ident: $this_type:ty $(, $arg:ident: $arg_type:ty)*) -> $ret:ty
    ) => {
        #[inline]
        #[doc = concat!("Forwards `", stringify!($method), "` to the value held.")]
        $vis fn $method($this: $this_type, $($arg: $arg_type),*) -> $ret {
            $crate::enum_dispatch!(@call [$($variant),+] $this $method ($($arg,)*))
        }
    };
    ($variants:tt; $($vis:vis fn $method:ident $args:tt -> $ret:ty;)+) => {
        $($crate::enum_dispatch!(@method $variants $vis fn $method $args -> $ret);)+
    };
}
