// Put in front of every shader.
//
// A launch is a number of workgroups, folded over x and y because a dimension holds at most 65,535.
// The fold may launch a few workgroups too many: every kernel guards its own range.

fn workgroup_index(id: vec3u, count: vec3u) -> u32 {
    return id.y * count.x + id.x;
}
