// Prepended to every shader.
//
// The workgroups of a launch are folded over x and y, because each dimension is limited to 65,535. Folding may round their
// number up, so every kernel checks its range. A long launch is dispatched in ranges of its workgroups; every parameter struct
// ends with the first workgroup of the range.

fn workgroup_index(id: vec3u, count: vec3u, first: u32) -> u32 {
    return first + id.y * count.x + id.x;
}
