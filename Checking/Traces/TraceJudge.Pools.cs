using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Pools: what is allocated, freed and destroyed.</summary>
internal sealed partial class TraceJudge
{
    /// <summary>More live ranges than this are no pool of a device; the rest is not followed.</summary>
    private const int LiveRangesMax = 1 << 20;

    private readonly Dictionary<ulong, TracedPool> _pools = [];
    private readonly Dictionary<ulong, TracedPool> _poolsOfPdev = [];
    private bool _poolsVisible;
    private bool _poolDestroySeen;

    private void PoolCreated(ulong pointer)
    {
        if (pointer == 0 || IsErrorPointer(pointer))
        {
            return;
        }

        var device = _task.AddResource?.Device ?? _task.Probing;
        var name = device is null ? $"pool:trace/0x{pointer:x}" : $"pool:{device.Name[4..]}";
        var pool = new TracedPool(pointer, _objects.Intern(name), name)
        {
            CreatedInTrace = true,
            GranuleBytes = _task.PoolOrder < 40 ? 1UL << (int)_task.PoolOrder : 4096,
        };
        _pools[pointer] = pool;
        if (device is not null)
        {
            device.Pool = pool;
        }

        Emit(EventKind.PoolCreate, device?.Obj ?? pool.Obj, device?.Life ?? 1, other: pool.Obj);
    }

    private TracedPool Pool(ulong pointer)
    {
        if (!_pools.TryGetValue(pointer, out var pool))
        {
            var name = $"pool:trace/0x{pointer:x}";
            pool = new(pointer, _objects.Intern(name), name) { CreatedInTrace = false };
            _pools.Add(pointer, pool);
        }

        return pool;
    }

    private void ChunkAdds(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var (virt, size) = (Need(fields, TraceField.Virt, name), Need(fields, TraceField.Size, name));
        _ = LastOf(virt, size, name);
        var owner = fields[TraceField.Owner];
        _task.AddingChunk = (Pool(Need(fields, TraceField.Pool, name)), new(virt, size, owner, MapOfRef(owner), _line));
    }

    private void ChunkAdded(in TraceFields fields)
    {
        if (_task.AddingChunk is not { } adding)
        {
            return;
        }

        _task.AddingChunk = null;
        if (fields.Error != 0)
        {
            return;
        }

        var (pool, chunk) = adding;
        pool.Chunks.Add(chunk);
        var device = _objects.DeviceOf(pool.Obj);
        var now = Emit(
            EventKind.ChunkAdd,
            device != 0 ? device : pool.Obj,
            1,
            start: chunk.Virt,
            size: chunk.SizeBytes,
            other: chunk.Map?.RefObj ?? 0);
        var byAddress = _ranges.Find(map => map.Memory is MapMemory.Present && map.ContainsLinear(chunk.Virt));
        if (chunk.Owner == 0 || byAddress is null || chunk.Map is null)
        {
            _ledger.Undecided(TraceRule.OwnerRoundtrip);
        }
        else if (chunk.Map == byAddress)
        {
            _ledger.Ok(TraceRule.OwnerRoundtrip);
        }
        else
        {
            _ledger.Violated(
                TraceRule.OwnerRoundtrip, "foreign-owner", pool.Name, _line,
                $"Let C = the chunk at 0x{chunk.Virt:x} that was added to pool 0x{pool.Pointer:x} by {Say(now)}. Then "
                + $"C lies in {byAddress} and is owned by "
                + $"the ref of that map; however, its owner 0x{chunk.Owner:x} is the ref of {chunk.Map}: a "
                + "contradiction.",
                [Record(pool.Name, 1, now)]);
        }
    }

    private void PoolAllocBegins(ulong pointer)
    {
        _poolsVisible = true;
        Pool(pointer).OpsInFlight++;
        _task.AllocBeganLine = _line;
    }

    private void PoolAllocated(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        _poolsVisible = true;
        var pool = Pool(Need(fields, TraceField.Pool, name));
        pool.OpsInFlight = Math.Max(0, pool.OpsInFlight - 1);
        Allocated(pool, Need(fields, TraceField.Addr, name), Need(fields, TraceField.Size, name), name);
        _task.AllocBeganLine = 0;
    }

    private void Allocated(TracedPool pool, ulong address, ulong sizeBytes, ReadOnlySpan<byte> name)
    {
        if (address == 0 || sizeBytes == 0 || IsErrorPointer(address))
        {
            return;
        }

        var last = LastOf(address, Rounded(sizeBytes, pool.GranuleBytes), name);
        if (pool.Live.TryOverlap(address, last, out var other))
        {
            if (IsIncomplete)
            {
                _ledger.Undecided(TraceRule.NoOverlap);
                _ = pool.Live.TryRemove(address, last);
            }
            else
            {
                _probe = System.Text.Encoding.ASCII.GetString(name);
                var now = Now(EventKind.AllocEnd);
                _ledger.Violated(
                    TraceRule.NoOverlap, "overlap", pool.Name, _line,
                    $"Let A = the allocation of 0x{other.First:x}..0x{other.Last:x} from pool 0x{pool.Pointer:x} by "
                    + $"{other.Task.Label} that returned at line "
                    + $"{other.Line}, B = that of 0x{address:x}..0x{last:x} by {_task.Label} that returned at "
                    + $"{Say(now)}. Then A and B are disjoint while both "
                    + "live; however, they share addresses, and no free of A had begun: a contradiction.",
                    [Record(pool.Name, 1, now, ("addr", $"0x{address:x}"), ("size", sizeBytes))]);
                _ = pool.Live.TryRemove(address, last);
            }
        }
        else
        {
            _ledger.Ok(TraceRule.NoOverlap);
        }

        if (pool.Live.Count < LiveRangesMax)
        {
            pool.Live.Add(new(address, last, _line, _task));
        }
    }

    private void PoolFreeBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        _poolsVisible = true;
        var pool = Pool(Need(fields, TraceField.Pool, name));
        pool.OpsInFlight++;
        var address = Need(fields, TraceField.Addr, name);
        Freed(pool, address, Need(fields, TraceField.Size, name), name);
        if (_task.FreeingOf is { } map)
        {
            JudgeOwnerAtFree(pool, address, map, name);
        }
    }

    private void PoolFreed(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var pool = Pool(Need(fields, TraceField.Pool, name));
        pool.OpsInFlight = Math.Max(0, pool.OpsInFlight - 1);
    }

    /// <summary>The free begins: its addresses may be allocated again from here on.</summary>
    private void Freed(TracedPool pool, ulong address, ulong sizeBytes, ReadOnlySpan<byte> name)
    {
        if (address == 0 || sizeBytes == 0)
        {
            return;
        }

        var last = LastOf(address, Rounded(sizeBytes, pool.GranuleBytes), name);
        if (pool.Live.TryRemove(address, last))
        {
            _ledger.Ok(TraceRule.FreeMatchesAlloc);
        }
        else if (!pool.CreatedInTrace || IsIncomplete || pool.Live.Count >= LiveRangesMax - 1)
        {
            _ledger.Undecided(TraceRule.FreeMatchesAlloc);
        }
        else
        {
            _probe = System.Text.Encoding.ASCII.GetString(name);
            var now = Now(EventKind.FreeBegin);
            _ledger.Violated(
                TraceRule.FreeMatchesAlloc, "not-live", pool.Name, _line,
                $"Let F = the free of 0x{address:x}..0x{last:x} to pool 0x{pool.Pointer:x} at {Say(now)}. Then F "
                + "frees what an allocation gave; however, "
                + "these addresses were not allocated, or were freed before, and the trace shows the pool from its "
                + "creation: a contradiction.",
                [Record(pool.Name, 1, now, ("addr", $"0x{address:x}"), ("size", sizeBytes))]);
        }
    }

    private void JudgeOwnerAtFree(TracedPool pool, ulong address, TracedMap freeing, ReadOnlySpan<byte> name)
    {
        var at = pool.Chunks.FindIndex(chunk => chunk.Contains(address));
        if (at < 0 || pool.Chunks[at].Map is not { } owner)
        {
            _ledger.Undecided(TraceRule.OwnerRoundtrip);
        }
        else if (owner == freeing)
        {
            _ledger.Ok(TraceRule.OwnerRoundtrip);
        }
        else
        {
            _probe = System.Text.Encoding.ASCII.GetString(name);
            var now = Now(EventKind.FreeBegin);
            _ledger.Violated(
                TraceRule.OwnerRoundtrip, "other-owner-at-free", pool.Name, _line,
                $"Let F = the free of 0x{address:x} at {Say(now)}, for a page of {freeing}. Then F reports the owner "
                + "that the allocation reported, the ref of that "
                + $"map; however, the chunk of this address is owned by the ref of {owner}: a contradiction.",
                [Record(pool.Name, 1, now, ("addr", $"0x{address:x}"))]);
        }
    }

    private void PoolDestroys(ulong pointer)
    {
        _poolDestroySeen = true;
        var pool = Pool(pointer);
        _pools.Remove(pointer);
        pool.Destroyed = true;
        var device = _objects.DeviceOf(pool.Obj);
        var now = Emit(
            EventKind.PoolDestroy, device != 0 ? device : pool.Obj, 1, other: pool.Obj, count: pool.Live.Count);
        if (!pool.CreatedInTrace && pool.Live.Count == 0)
        {
            return;
        }

        if (pool.Live.Count == 0)
        {
            _ledger.Ok(TraceRule.DestroyEmpty);
        }
        else if (IsIncomplete)
        {
            _ledger.Undecided(TraceRule.DestroyEmpty);
        }
        else
        {
            var live = pool.Live.All[0];
            _ledger.Violated(
                TraceRule.DestroyEmpty, "live-allocation", pool.Name, _line,
                $"Let A = the allocation of 0x{live.First:x}..0x{live.Last:x} by {live.Task.Label} that returned at "
                + $"line {live.Line} (one of {pool.Live.Count} live "
                + $"ranges), D = the destruction of pool 0x{pool.Pointer:x} at {Say(now)}. Then D finds the pool "
                + "empty; however, no free of A had begun: a "
                + "contradiction, the kernel stops there with BUG.",
                [Record(pool.Name, 1, now, ("live", pool.Live.Count))]);
        }
    }

    private void P2pmemAllocated(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        if (!_poolsVisible)
        {
            Allocated(
                PoolOfPdev(Need(fields, TraceField.Pdev, name)),
                Need(fields, TraceField.Addr, name),
                Need(fields, TraceField.Size, name),
                name);
        }
    }

    private void P2pmemFreeBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        if (!_poolsVisible)
        {
            Freed(
                PoolOfPdev(Need(fields, TraceField.Pdev, name)),
                Need(fields, TraceField.Addr, name),
                Need(fields, TraceField.Size, name),
                name);
        }
    }

    /// <summary>The device's pool goes: what is allocated later comes from another.</summary>
    private void P2pdmaReleases(ulong pdev)
    {
        _ = PciDevice(pdev);
        _poolsOfPdev.Remove(pdev);
    }

    /// <summary>
    /// Where gen_pool itself cannot be probed, a device's pool is what pci_alloc_p2pmem gave and took.
    /// </summary>
    private TracedPool PoolOfPdev(ulong pdev)
    {
        if (!_poolsOfPdev.TryGetValue(pdev, out var pool))
        {
            var device = PciDevice(pdev);
            var name = $"pool:{device.Name[4..]}";
            pool = new(pdev, _objects.Intern(name), name)
            {
                CreatedInTrace = device.Maps.Count > 0 && device.Maps.TrueForAll(map => map.CreatedInTrace),
            };
            _poolsOfPdev.Add(pdev, pool);
        }

        return pool;
    }

    private static ulong Rounded(ulong sizeBytes, ulong granuleBytes) =>
        sizeBytes > ulong.MaxValue - granuleBytes ? sizeBytes : (sizeBytes + granuleBytes - 1) & ~(granuleBytes - 1);

    private static bool IsErrorPointer(ulong value) => value > unchecked((ulong)-4096L);
}
