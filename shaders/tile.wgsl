// A tile of 16 x 8 results an invocation, for kernels that hand numbers from lane to lane.
//
// The first eight lanes of each subgroup hold the numbers of 16 rows (`low`: rows 0 to 7, `high`: rows 8 to 15);
// `add_outer` gives each lane all of them in turn. Members have names, since an indexed array might not stay in
// registers. All lanes of a subgroup must be active.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

struct Tile {
    r0: vec4f, s0: vec4f,
    r1: vec4f, s1: vec4f,
    r2: vec4f, s2: vec4f,
    r3: vec4f, s3: vec4f,
    r4: vec4f, s4: vec4f,
    r5: vec4f, s5: vec4f,
    r6: vec4f, s6: vec4f,
    r7: vec4f, s7: vec4f,
    r8: vec4f, s8: vec4f,
    r9: vec4f, s9: vec4f,
    r10: vec4f, s10: vec4f,
    r11: vec4f, s11: vec4f,
    r12: vec4f, s12: vec4f,
    r13: vec4f, s13: vec4f,
    r14: vec4f, s14: vec4f,
    r15: vec4f, s15: vec4f,
}

// Rows r0 ... r15 (left four columns) and s0 ... s15 (right four) += row number * columns.
fn add_outer(tile: ptr<function, Tile>, low: f32, high: f32, left: vec4f, right: vec4f) {
    let w0 = subgroupBroadcast(low, 0u);
    (*tile).r0 += w0 * left;
    (*tile).s0 += w0 * right;
    let w1 = subgroupBroadcast(low, 1u);
    (*tile).r1 += w1 * left;
    (*tile).s1 += w1 * right;
    let w2 = subgroupBroadcast(low, 2u);
    (*tile).r2 += w2 * left;
    (*tile).s2 += w2 * right;
    let w3 = subgroupBroadcast(low, 3u);
    (*tile).r3 += w3 * left;
    (*tile).s3 += w3 * right;
    let w4 = subgroupBroadcast(low, 4u);
    (*tile).r4 += w4 * left;
    (*tile).s4 += w4 * right;
    let w5 = subgroupBroadcast(low, 5u);
    (*tile).r5 += w5 * left;
    (*tile).s5 += w5 * right;
    let w6 = subgroupBroadcast(low, 6u);
    (*tile).r6 += w6 * left;
    (*tile).s6 += w6 * right;
    let w7 = subgroupBroadcast(low, 7u);
    (*tile).r7 += w7 * left;
    (*tile).s7 += w7 * right;
    let w8 = subgroupBroadcast(high, 0u);
    (*tile).r8 += w8 * left;
    (*tile).s8 += w8 * right;
    let w9 = subgroupBroadcast(high, 1u);
    (*tile).r9 += w9 * left;
    (*tile).s9 += w9 * right;
    let w10 = subgroupBroadcast(high, 2u);
    (*tile).r10 += w10 * left;
    (*tile).s10 += w10 * right;
    let w11 = subgroupBroadcast(high, 3u);
    (*tile).r11 += w11 * left;
    (*tile).s11 += w11 * right;
    let w12 = subgroupBroadcast(high, 4u);
    (*tile).r12 += w12 * left;
    (*tile).s12 += w12 * right;
    let w13 = subgroupBroadcast(high, 5u);
    (*tile).r13 += w13 * left;
    (*tile).s13 += w13 * right;
    let w14 = subgroupBroadcast(high, 6u);
    (*tile).r14 += w14 * left;
    (*tile).s14 += w14 * right;
    let w15 = subgroupBroadcast(high, 7u);
    (*tile).r15 += w15 * left;
    (*tile).s15 += w15 * right;
}
