//! Checks of every kernel without a device: its shader translates for Vulkan, Metal and DX12, and matches its row of the table.

use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ArraySize, GlobalVariable, Module, Scalar, ShaderStage, StorageAccess, TypeInner};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use striate::kernel::{ALL, Field, Kernel};

/// Parses and validates a shader.
fn parse(file: &str, source: &str) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source)
        .map_err(|e| format!("{file}: {}", e.emit_to_string_with_path(source, file)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP)
        .validate(&module)
        .map_err(|e| format!("{file}: {}", e.emit_to_string_with_path(source, file)))?;
    Ok((module, info))
}

/// The globals that a kernel's entry point uses, and its workgroup's size.
struct Entry<'a> {
    module: &'a Module,
    globals: Vec<&'a GlobalVariable>,
    workgroup: [u32; 3],
}

impl<'a> Entry<'a> {
    fn new(kernel: &Kernel, module: &'a Module, info: &ModuleInfo) -> Result<Self, String> {
        let index = module
            .entry_points
            .iter()
            .position(|e| e.name == kernel.entry)
            .ok_or_else(|| format!("{} has no entry point {}", kernel.file, kernel.entry))?;
        let used = info.get_entry_point(index);
        let globals = module.global_variables.iter();
        let globals =
            globals.filter(|(handle, _)| used[*handle] != GlobalUse::empty()).map(|(_, g)| g).collect();
        Ok(Self { module, globals, workgroup: module.entry_points[index].workgroup_size })
    }

    /// Bindings of group 0 in order: uniform, read or read-write.
    fn bindings(&self) -> Vec<(u32, &'static str)> {
        let mut bindings: Vec<(u32, &'static str)> = self
            .globals
            .iter()
            .filter_map(|g| {
                let kind = match g.space {
                    AddressSpace::Uniform => "uniform",
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "read-write",
                    AddressSpace::Storage { .. } => "read",
                    _ => return None,
                };
                Some((g.binding.as_ref().map_or(u32::MAX, |b| b.binding), kind))
            })
            .collect();
        bindings.sort();
        bindings
    }

    /// The parameter struct.
    fn params(&self) -> Result<Struct, String> {
        let uniform = self.globals.iter().find(|g| g.space == AddressSpace::Uniform);
        let ty = &self.module.types[uniform.ok_or("there is no uniform")?.ty];
        let TypeInner::Struct { members, span } = &ty.inner else {
            return Err("the uniform is not a struct".into());
        };
        let scalar = |inner: &TypeInner| match inner {
            TypeInner::Scalar(s) if *s == Scalar::U32 => "u32".to_owned(),
            TypeInner::Scalar(s) if *s == Scalar::I32 => "i32".to_owned(),
            TypeInner::Scalar(s) if *s == Scalar::F32 => "f32".to_owned(),
            TypeInner::Array { size: ArraySize::Constant(size), stride: 16, .. } => {
                format!("[[u32; 4]; {size}]")
            }
            other => format!("{other:?}"),
        };
        let members = members.iter().map(|m| {
            let name = m.name.clone().unwrap_or_default();
            (name, m.offset as usize, scalar(&self.module.types[m.ty].inner))
        });
        Ok(Struct {
            name: ty.name.clone().unwrap_or_default(),
            size: *span as usize,
            members: members.collect(),
        })
    }
}

/// A struct with its members: name, offset, type.
#[derive(Clone, Debug, PartialEq)]
struct Struct {
    name: String,
    size: usize,
    members: Vec<(String, usize, String)>,
}

impl Struct {
    /// The parameter struct in a kernel's row.
    fn of(kernel: &Kernel) -> Self {
        let member = |f: &Field| (f.name.to_owned(), f.offset, f.ty.to_owned());
        let members = kernel.params.fields.iter().map(member).collect();
        Self { name: kernel.params.name.to_owned(), size: kernel.params.size, members }
    }
}

/// Compares a kernel's row, with the given parameter struct, with the text of a shader.
fn compare(kernel: &Kernel, row: &Struct, source: &str) -> Result<(), String> {
    let (module, info) = parse(kernel.file, source)?;
    let entry = Entry::new(kernel, &module, &info)?;
    let shader = entry.params().map_err(|e| format!("{}: {e}", kernel.name))?;
    if shader != *row {
        return Err(format!("{}: the row has {row:?}, {} has {shader:?}", kernel.name, kernel.file));
    }
    let expected = std::iter::once("uniform")
        .chain(std::iter::repeat_n("read", kernel.reads))
        .chain(std::iter::repeat_n("read-write", kernel.writes));
    let found = entry.bindings();
    // Some matmul kernels never read the bias, but their code mentions it, so every binding counts as used.
    if !(0..).zip(expected.clone()).eq(found.iter().copied()) {
        let expected: Vec<_> = expected.collect();
        return Err(format!("{}: the row has the bindings {expected:?}, the shader {found:?}", kernel.name));
    }
    if entry.workgroup != [kernel.threads, 1, 1] {
        return Err(format!(
            "{}: the row has workgroups of {}, the shader of {:?}",
            kernel.name, kernel.threads, entry.workgroup
        ));
    }
    Ok(())
}

/// Fails with all problems at once.
fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_row_matches_its_shader() {
    report(ALL.iter().filter_map(|k| compare(k, &Struct::of(k), &k.source(8)).err()).collect());
}

#[test]
fn a_row_that_differs_in_one_member_is_detected() {
    let mut problems = Vec::new();
    let mut expect_failure = |kernel: &Kernel, row: &Struct, source: &str, what: &str| {
        if compare(kernel, row, source).is_ok() {
            problems.push(format!("{}: {what} went unnoticed", kernel.name));
        }
    };
    for kernel in ALL {
        let (row, source) = (Struct::of(kernel), kernel.source(8));
        for i in 0..row.members.len() {
            let mut renamed = row.clone();
            renamed.members[i].0.push('x');
            expect_failure(kernel, &renamed, &source, "a renamed member");
            let mut moved = row.clone();
            moved.members[i].1 += 4;
            expect_failure(kernel, &moved, &source, "a moved member");
            let mut retyped = row.clone();
            retyped.members[i].2 = if row.members[i].2 == "u32" { "f32".into() } else { "u32".into() };
            expect_failure(kernel, &retyped, &source, "another type");
        }
        expect_failure(kernel, &Struct { size: row.size + 4, ..row.clone() }, &source, "another size");
        let mut short = row.clone();
        short.members.pop();
        expect_failure(kernel, &short, &source, "a missing member");
        // The same with a modified shader.
        let head = format!("struct {} {{", row.name);
        assert!(source.contains(&head), "{}: {head} should be in {}", kernel.name, kernel.file);
        let padded = source.replace(&head, &format!("{head} added: u32,"));
        expect_failure(kernel, &row, &padded, "a member added to the shader");
        let threads = format!("@workgroup_size({})\nfn {}(", kernel.threads, kernel.entry);
        assert!(source.contains(&threads), "{}: {threads:?} should be in {}", kernel.name, kernel.file);
        let other = threads.replacen(&kernel.threads.to_string(), "32", 1);
        expect_failure(kernel, &row, &source.replace(&threads, &other), "another workgroup size");
    }
    report(problems);
}

/// If two members of the same type are swapped, only names differ.
#[test]
fn swapped_members_are_detected() {
    for kernel in ALL {
        let mut row = Struct::of(kernel);
        let same = |i: &usize| row.members[*i].2 == row.members[i + 1].2;
        let Some(i) = (0..row.members.len().saturating_sub(1)).find(same) else { continue };
        let name = row.members[i].0.clone();
        row.members[i].0 = std::mem::replace(&mut row.members[i + 1].0, name);
        assert!(compare(kernel, &row, &kernel.source(8)).is_err(), "{}", kernel.name);
    }
}

/// Files that are prepended to all shaders, or to those that ask for it with `// uses`.
fn includes() -> BTreeSet<String> {
    let lines = ALL.iter().flat_map(|k| shader_text(k.file).lines().map(str::to_owned).collect::<Vec<_>>());
    let named = lines.filter_map(|line| line.strip_prefix("// uses ").map(str::to_owned));
    named.chain(["prelude.wgsl".to_owned()]).collect()
}

fn shader_text(file: &str) -> String {
    fs::read_to_string(root().join("shaders").join(file)).unwrap()
}

/// Possible subgroup sizes. Kernels that use subgroup operations are generated for each.
const SUBGROUPS: [u32; 5] = [4, 8, 16, 32, 64];

/// Translates a kernel's entry point to the languages of the backends, as wgpu does.
fn translate(kernel: &Kernel, subgroup: u32) -> Result<(), String> {
    let (module, info) = parse(kernel.file, &kernel.source(subgroup))?;
    let stage = ShaderStage::Compute;
    let failed = |language: &str, e: &dyn std::fmt::Debug| {
        format!("{} for subgroups of {subgroup} to {language}: {e:?}", kernel.name)
    };
    let (module, info) = process_overrides(&module, &info, Some((stage, kernel.entry)), &Default::default())
        .map_err(|e| failed("one entry point", &e))?;
    let entry_point = Some((stage, kernel.entry.to_owned()));

    let pipeline = spv::PipelineOptions { shader_stage: stage, entry_point: kernel.entry.to_owned() };
    let words = spv::write_vec(&module, &info, &spv::Options::default(), Some(&pipeline))
        .map_err(|e| failed("SPIR-V", &e))?;
    if words.first() != Some(&0x0723_0203) {
        return Err(failed("SPIR-V", &"no magic number"));
    }

    let pipeline = msl::PipelineOptions { entry_point: entry_point.clone(), ..Default::default() };
    let (metal, translation) = msl::write_string(&module, &info, &msl::Options::default(), &pipeline)
        .map_err(|e| failed("MSL", &e))?;
    let names: Vec<_> =
        translation.entry_point_names.into_iter().collect::<Result<_, _>>().map_err(|e| failed("MSL", &e))?;
    if !names.iter().all(|name| metal.contains(&format!("kernel void {name}("))) || names.is_empty() {
        return Err(failed("MSL", &"no entry point"));
    }

    let mut text = String::new();
    let (options, pipeline) = (hlsl::Options::default(), hlsl::PipelineOptions { entry_point });
    let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .map_err(|e| failed("HLSL", &e))?;
    let names: Vec<_> =
        reflection.entry_point_names.into_iter().collect::<Result<_, _>>().map_err(|e| failed("HLSL", &e))?;
    if !text.contains("[numthreads(") || names.is_empty() {
        return Err(failed("HLSL", &"no entry point"));
    }
    // naga's HLSL defines the same helper twice for the zero values of a type and of its alias, `vec4f()` and `Value()`.
    match defined_twice(&text) {
        Some(line) => Err(failed("HLSL", &format!("`{line}` is defined twice"))),
        None => Ok(()),
    }
}

/// The first line that starts a second definition of a function or struct.
fn defined_twice(text: &str) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let definition = |line: &&str| line.starts_with(char::is_alphabetic) && line.ends_with('{');
    text.lines().filter(definition).find(|line| !seen.insert(*line))
}

#[test]
fn duplicate_definitions_are_detected() {
    let source = "@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
alias Value = vec4f;
@compute @workgroup_size(1) fn f() { y[0] = vec4f(); y[1] = Value(); }";
    let (module, info) = parse("f.wgsl", source).unwrap();
    let mut text = String::new();
    let options = (hlsl::Options::default(), hlsl::PipelineOptions::default());
    hlsl::Writer::new(&mut text, &options.0, &options.1).write(&module, &info, None).unwrap();
    assert_eq!(defined_twice(&text), Some("float4 ZeroValuefloat4() {"));
}

#[test]
fn every_kernel_translates_to_spirv_msl_and_hlsl() {
    let sizes = |k: &Kernel| if k.uses_subgroups() { &SUBGROUPS[..] } else { &SUBGROUPS[..1] };
    let each = ALL.iter().flat_map(|k| sizes(k).iter().map(|size| (*k, *size)));
    report(each.filter_map(|(k, size)| translate(k, size).err()).collect());
}

#[test]
fn kernels_fit_the_limits_that_every_adapter_has() {
    for kernel in ALL {
        assert!(kernel.threads <= 256, "{} has {} threads", kernel.name, kernel.threads);
        let (module, info) = parse(kernel.file, &kernel.source(8)).unwrap();
        let entry = Entry::new(kernel, &module, &info).unwrap();
        let layouter = {
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            layouter
        };
        let workgroup = entry.globals.iter().filter(|g| g.space == AddressSpace::WorkGroup);
        let bytes: u32 = workgroup.map(|g| layouter[g.ty].size).sum();
        assert!(bytes <= 16 << 10, "{} takes {bytes} bytes of workgroup memory", kernel.name);
        assert!(
            kernel.reads + kernel.writes <= 8,
            "{} binds {} storage buffers",
            kernel.name,
            kernel.reads + kernel.writes
        );
    }
}

#[test]
fn kernel_names_are_unique() {
    let names: BTreeSet<&str> = ALL.iter().map(|k| k.name).collect();
    assert_eq!(names.len(), ALL.len(), "two kernels have the same name");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shader_files() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("shaders")).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_shader_file_is_used_and_every_entry_point_has_a_row() {
    let mut used: BTreeSet<String> = ALL.iter().map(|k| k.file.to_owned()).collect();
    used.extend(includes());
    assert_eq!(shader_files(), used);
    let mut problems = Vec::new();
    for kernel in ALL {
        let (module, _) = parse(kernel.file, &kernel.source(8)).unwrap();
        let missing = module
            .entry_points
            .iter()
            .filter(|e| !ALL.iter().any(|k| k.file == kernel.file && k.entry == e.name));
        problems.extend(missing.map(|e| format!("{}: {} has no row", kernel.file, e.name)));
    }
    report(problems);
}

#[test]
fn every_shader_opens_with_a_header() {
    let includes = includes();
    for file in shader_files() {
        let text = shader_text(&file);
        let header: Vec<&str> = text.lines().take_while(|l| l.starts_with("//")).collect();
        assert!(header.len() >= 3, "{file} should open with its maths, layouts and dispatch");
        let dispatch = header.iter().any(|l| l.contains("Dispatch:"));
        assert!(dispatch || includes.contains(&file), "the header of {file} should state its dispatch");
    }
}

#[test]
fn every_struct_is_defined_once() {
    let mut seen = BTreeSet::new();
    for file in shader_files() {
        for line in shader_text(&file).lines().filter(|l| l.starts_with("struct ")) {
            let name = line.split_whitespace().nth(1).unwrap().to_owned();
            assert!(
                seen.insert(name),
                "{file} and another file have `{line}`; move it to a file that both use"
            );
        }
    }
}

#[test]
fn only_the_gpu_executor_uses_wgpu() {
    let files = walkdir::WalkDir::new(root().join("src")).into_iter().map(|entry| entry.unwrap().into_path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect();
    assert!(files.len() > 20, "the sources were not found");
    let gpu = root().join("src/runtime/gpu");
    let name = ["wgpu", "::"].concat();
    let strays =
        files.iter().filter(|f| !f.starts_with(&gpu) && fs::read_to_string(f).unwrap().contains(&name));
    report(strays.map(|f| format!("{} uses {name}", f.display())).collect());
}
