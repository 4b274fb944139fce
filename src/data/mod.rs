//! Data sets, augmentation and the loader that feeds the device.
