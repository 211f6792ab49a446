// The model's frames: x right, y down, z away from the camera; pixel centres at integers.

export type Vector = [number, number, number];
/** Rows of a matrix. */
export type Matrix = [Vector, Vector, Vector];

/**
 * R = Ry(yaw) Rx(-pitch) Rz(roll), canonical to camera: pitch + looks up, yaw + is towards
 * image-left, roll + is clockwise in the image.
 */
export function rotation(yaw: number, pitch: number, roll: number): Matrix {
  const [cy, sy, cp, sp, cr, sr] = [
    Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch), Math.cos(roll), Math.sin(roll),
  ];
  return [
    [cy * cr - sy * sp * sr, -cy * sr - sy * sp * cr, sy * cp],
    [cp * sr, cp * cr, sp],
    [-sy * cr - cy * sp * sr, sy * sr - cy * sp * cr, cy * cp],
  ];
}

export function times(matrix: Matrix, [x, y, z]: Vector): Vector {
  return matrix.map((row) => row[0] * x + row[1] * y + row[2] * z) as Vector;
}

/** Focal length in pixels of a camera that sees `fov` degrees across so many pixels. */
export function focalLength(size: number, fov: number): number {
  return (size - 1) / 2 / Math.tan((fov * Math.PI) / 360);
}

/** Points that a depth map shows, x, y, z each. [size * size * 3]. */
export function unproject(depth: Float32Array, size: number, fov: number): Float32Array {
  const focal = focalLength(size, fov), middle = (size - 1) / 2;
  const points = new Float32Array(3 * size * size);
  for (let row = 0, i = 0; row < size; row++) {
    for (let column = 0; column < size; column++, i++) {
      const z = depth[i];
      points[3 * i] = ((column - middle) / focal) * z;
      points[3 * i + 1] = ((row - middle) / focal) * z;
      points[3 * i + 2] = z;
    }
  }
  return points;
}

/** Outward unit normals by central differences; the border repeats its neighbour. */
export function surfaceNormals(points: Float32Array, size: number): Float32Array {
  const normals = new Float32Array(points.length);
  const at = (row: number, column: number) => 3 * (row * size + column);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const r = Math.min(Math.max(row, 1), size - 2), c = Math.min(Math.max(column, 1), size - 2);
      const left = at(r, c - 1), right = at(r, c + 1), up = at(r - 1, c), below = at(r + 1, c);
      const ax = points[right] - points[left], dx = points[below] - points[up];
      const ay = points[right + 1] - points[left + 1], dy = points[below + 1] - points[up + 1];
      const az = points[right + 2] - points[left + 2], dz = points[below + 2] - points[up + 2];
      // y down x right: down x across points towards the camera.
      const nx = dy * az - dz * ay, ny = dz * ax - dx * az, nz = dx * ay - dy * ax;
      const length = Math.sqrt(nx * nx + ny * ny + nz * nz) || 1, i = at(row, column);
      normals[i] = nx / length;
      normals[i + 1] = ny / length;
      normals[i + 2] = nz / length;
    }
  }
  return normals;
}

/** Two triangles for each cell of every `step`-th row and column of a grid, wound to face the camera. */
export function gridTriangles(size: number, step = 1): Uint32Array {
  const lines = Array.from({ length: Math.ceil((size - 1) / step) + 1 }, (_, i) => Math.min(i * step, size - 1));
  const index = new Uint32Array(6 * (lines.length - 1) ** 2);
  let next = 0;
  for (let i = 0; i < lines.length - 1; i++) {
    for (let j = 0; j < lines.length - 1; j++) {
      const [above, below] = [size * lines[i], size * lines[i + 1]];
      const [a, b, c, d] = [above + lines[j], below + lines[j], above + lines[j + 1], below + lines[j + 1]];
      // Mirrored about the middle, as the model's own triangles are.
      index.set(lines[j] < (size - 1) / 2 ? [a, b, d, a, d, c] : [a, b, c, c, b, d], next);
      next += 6;
    }
  }
  return index;
}

/** Lines along every `step`-th row and column of a grid, as pairs of vertices. */
export function gridLines(size: number, step: number): Uint32Array {
  const lines: number[] = [];
  for (let one = 0; one < size; one += step) {
    for (let along = 0; along < size - 1; along++) {
      lines.push(one * size + along, one * size + along + 1, along * size + one, (along + 1) * size + one);
    }
  }
  return Uint32Array.from(lines);
}

/** Half axes of the head's oval in the canonical image, as fractions of half its sides. */
const OVAL = [0.85, 0.95];

/** The shift that brings what the head's oval covers, once turned, to the middle of the image. */
export function centring(points: Float32Array, size: number, turn: Matrix): Vector {
  const low: Vector = [Infinity, Infinity, 0], high: Vector = [-Infinity, -Infinity, 0];
  for (let row = 0; row < size; row += 4) {
    for (let column = 0; column < size; column += 4) {
      const x = ((2 * column) / (size - 1) - 1) / OVAL[0], y = ((2 * row) / (size - 1) - 1) / OVAL[1];
      if (x * x + y * y >= 1) continue;
      const i = 3 * (row * size + column);
      for (let k = 0; k < 2; k++) {
        const placed = turn[k][0] * points[i] + turn[k][1] * points[i + 1] + turn[k][2] * (points[i + 2] - 1);
        if (placed < low[k]) low[k] = placed;
        if (placed > high[k]) high[k] = placed;
      }
    }
  }
  return [-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, 0];
}
