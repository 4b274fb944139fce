//! Striate trains and runs convolutional networks with WGSL compute shaders on any Vulkan, Metal or DX12 GPU, or on the
//! CPU, and shows what they have learned.
//!
//! # Quick start
//!
//! ```
//! use std::ops::ControlFlow;
//! use striate::data::{self, Preprocessing};
//! use striate::infer::{Predictor, top};
//! use striate::interpret::{Fill, Images, Lens, Occlusion};
//! use striate::train::{TrainConfig, Trainer};
//! use striate::weights::{Fit, Weights};
//! use striate::{Device, models};
//!
//! // Train for one epoch on the built-in images of clothes. "auto" selects a GPU if there is one.
//! let device = Device::select("cpu")?;
//! let split = data::open("fashion-mnist", None, None)?;
//! let model = models::by_name("lenet", 1, split.train.classes().len())?;
//! let config = TrainConfig { epochs: 1, batch: 32, lr: 0.02, ..Default::default() };
//! let mut trainer = Trainer::new(&device, &*model, split.clone(), config)?;
//! let report = trainer.epoch(&mut |_| ControlFlow::Continue(()))?;
//! assert!(report.test.unwrap().accuracy > 0.7);
//!
//! // Predict the class of a test image.
//! let weights = trainer.weights()?;
//! let test = Images::from_dataset(&split.test, &split.normalization, 1);
//! let mut predictor = Predictor::new(&device, &*model, [28, 28], 1)?;
//! predictor.load(&Weights::from_tensors(weights.clone()), Fit::Strict)?;
//! let best = top(&predictor.logits(test.image(0))?[0], 1)[0];
//! println!("{} with probability {:.2}", split.test.classes()[best.class], best.probability);
//!
//! // Look: where a gray patch lowers the probability, the network relies on what it covers.
//! let preprocessing = Preprocessing::new([28, 28], split.normalization);
//! let lens = Lens::new(&device, &*model, weights, preprocessing, 32)?;
//! let occlusion = Occlusion { patch: 8, stride: 4, fill: Fill::Gray };
//! let map = occlusion.map(&lens, &mut lens.classifier()?, test.image(0), None)?;
//! assert_eq!((map.class, map.probabilities.shape()), (best.class, &[7, 7][..]));
//! assert!(map.probabilities.as_f32().iter().any(|probability| *probability < map.uncovered));
//! # Ok::<(), striate::Error>(())
//! ```
//!
//! `docs/library.md` in the repository leads on from here.
//!
//! # Overview
//!
//! | | module | |
//! | --- | --- | --- |
//! | start here | [`data`] | opens data sets and folders of images, augments them, and prepares images for a network |
//! | | [`models`] | well-known networks by name: ResNets, GoogLeNet, AlexNet, LeNet |
//! | | [`train`] | trains a network; saves and resumes training |
//! | | [`infer`] | predicts classes; measures accuracy |
//! | | [`interpret`] | shows what a network has learned: filters, activations, occlusion, saliency, t-SNE and more |
//! | | [`weights`] | reads and writes weights, also those of PyTorch |
//! | go further | [`nn`] | layers, optimizers and learning-rate schedules, for your own networks |
//! | | [`eager`] | single operations with gradients, for experiments |
#![cfg_attr(
    feature = "onnx",
    doc = "| | [`export`] | writes networks as ONNX, for other inference engines |"
)]
//! | | [`gpu`] | lists the GPUs that [`Device::select`] can open |
//! | | [`distributed`] | joins the processes of an MPI job, which train one network together |
//! | inside | [`graph`], [`op`] | what is computed: operations on typed values, and their gradients |
//! | | [`plan`], [`kernel`] | how it is computed: launches of compute shaders, and their memory |
//! | | [`Session`] | runs plans on a [`Device`], step by step, and holds the weights |
//! | | [`tune`], [`selftest`] | find the fastest kernels of a GPU, and kernels that its driver gets wrong |
//! | | [`rng`] | random numbers that depend only on a seed and their purpose |

pub mod data;
pub mod distributed;
pub mod eager;
mod error;
#[cfg(feature = "onnx")]
pub mod export;
mod file;
mod folder;
pub mod graph;
pub mod infer;
pub mod interpret;
pub mod kernel;
pub mod models;
pub mod nn;
pub mod op;
pub mod plan;
pub mod rng;
mod runtime;
pub mod selftest;
mod tensor;
pub mod train;
pub mod tune;
pub mod weights;

pub use error::{Error, Result};
pub use file::{Content, check_writable, read_file, write_file};
pub use folder::OutputFolder;
pub use runtime::{Clock, Device, HostSpan, Outputs, Profile, Session, Timing, cache_folder, gpu};
pub use tensor::{DType, Input, Tensor, TensorType};

/// Runs the examples in these pages as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/library.md")]
mod pages {}
