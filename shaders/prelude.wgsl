// Prepended to every shader.
//
// The workgroups of a launch are folded over x and y, because each dimension is limited to 65,535. Folding may round their
// number up, so every kernel checks its range.

fn workgroup_index(id: vec3u, count: vec3u) -> u32 {
    return id.y * count.x + id.x;
}
