// Prepended to every shader.
//
// A launch is a number of workgroups, folded over x and y because each dimension is limited to 65,535. Folding may
// round that number up, so every kernel checks its range.

fn workgroup_index(id: vec3u, count: vec3u) -> u32 {
    return id.y * count.x + id.x;
}
