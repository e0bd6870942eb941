using System.Globalization;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Page maps: their memory, their refs, and the order of their teardown.</summary>
internal sealed partial class TraceJudge
{
    /// <summary>Newest life of each pgmap pointer.</summary>
    private readonly Dictionary<ulong, TracedMap> _maps = [];

    /// <summary>For each range of pages the map that is there, or was there last.</summary>
    private readonly List<TracedMap> _ranges = [];
    private readonly List<TracedMap> _all = [];
    private readonly List<TracedMap> _exiting = [];
    private readonly List<TracedMap> _removedUnreaped = [];

    private TracedMap? _lastHit;
    private int? _refOffset;
    private int _failedAdds;
    private int _mapCount;
    private bool _zeroVisible;
    private bool _switchVisible;

    private TracedMap NewMap(ulong pgmap, in TraceFields fields, ReadOnlySpan<byte> name, bool created)
    {
        var (start, end) = (Need(fields, TraceField.Start, name), Need(fields, TraceField.End, name));
        if (end < start)
        {
            throw new TraceFormatException(
                _line,
                $"{TraceText.Printable(name)} has an end 0x{end:x} before its start 0x{start:x}; "
                + "accepted: an inclusive range");
        }

        var type = (int)(fields[TraceField.Type] & 0xff);
        var call = _task.AddResource;
        var device = (_task.DevmPgmap == pgmap ? _task.DevmDevice : null)
            ?? call?.Device
            ?? _task.Probing
            ?? _open.Find(unbind => unbind.Begin.Task == _task)?.Device
            ?? Nameless(type, pgmap);
        var resource = call is not null ? string.Create(CultureInfo.InvariantCulture, $"bar{call.Bar}") : "range0";
        if (call?.Maps.Count > 0)
        {
            resource = string.Create(CultureInfo.InvariantCulture, $"{resource}.{call.Maps.Count}");
        }

        var life = device.MapLives[resource] = device.MapLives.GetValueOrDefault(resource) + 1;
        var path = device.Name[4..];
        var map = new TracedMap(device, resource, pgmap, life)
        {
            CreatedInTrace = created,
            Start = start,
            End = end,
            Type = type,
            Obj = _objects.Intern($"map:{path}/{resource}"),
            RefObj = _objects.Intern($"ref:{path}/{resource}"),
        };
        _maps[pgmap] = map;
        call?.Maps.Add(map);
        return map;
    }

    /// <summary>Device-private memory has no device behind it: its maps are counted.</summary>
    private TracedDevice Nameless(int type, ulong pgmap)
    {
        if (type is not (1 or 2))
        {
            return Named($"pgmap-0x{pgmap:x}");
        }

        for (var number = 0; ; number++)
        {
            var shown = string.Create(CultureInfo.InvariantCulture, $"hmm:{number}");
            var device = Named(shown);
            if (device.Maps.TrueForAll(map => map.Memory is not MapMemory.Present))
            {
                return device;
            }
        }
    }

    private void DevmMemremapBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        _task.DevmDevice = Device(Need(fields, TraceField.Dev, name));
        _task.DevmPgmap = Need(fields, TraceField.Pgmap, name);
    }

    private void MemremapBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var map = NewMap(Need(fields, TraceField.Pgmap, name), fields, name, created: true);
        _task.Mapping = map;
        Emit(
            EventKind.MemremapBegin,
            map.Device.Obj,
            map.Device.Life,
            start: map.Address,
            size: SizeOf(map),
            other: map.Obj);
    }

    private static ulong SizeOf(TracedMap map) => unchecked(map.End - map.Start + 1);

    private void MemoryAdds(ulong pfn)
    {
        if (_task.Mapping is { } map && map.Contains(pfn))
        {
            Place(map);
        }
    }

    private void MemoryAdded(long error)
    {
        if (_task.Mapping is { Memory: MapMemory.Present } map && error != 0)
        {
            map.Memory = MapMemory.None;
            _ranges.Remove(map);
        }
    }

    private void PagesAdd(ulong pfn) => MemoryAdds(pfn);

    private void PagesInit(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var pgmap = fields[TraceField.Pgmap];
        if (_maps.TryGetValue(pgmap, out var map) && map.Contains(Need(fields, TraceField.Pfn, name))
            && map == _task.Mapping)
        {
            Place(map);
            Emit(
                EventKind.PagesInit,
                map.Obj,
                map.Life,
                pfn: map.FirstPfn,
                count: (long)(map.LastPfn - map.FirstPfn + 1));
        }
    }

    /// <summary>The map's memory is there from now on; who was there before is history.</summary>
    private void Place(TracedMap map)
    {
        if (map.Memory is MapMemory.Present)
        {
            return;
        }

        for (var i = _ranges.Count - 1; i >= 0; i--)
        {
            var old = _ranges[i];
            if (old.FirstPfn <= map.LastPfn && map.FirstPfn <= old.LastPfn)
            {
                Close(old);
                _ranges.RemoveAt(i);
            }
        }

        map.Memory = MapMemory.Present;
        _ranges.Add(map);
        if (!map.IsListed)
        {
            // A garbled trace adds the memory of one map a second time.
            map.IsListed = true;
            _all.Add(map);
        }

        if (!map.Device.Maps.Contains(map))
        {
            map.Device.Maps.Add(map);
        }

        _mapCount++;
        Emit(EventKind.MemoryAdd, map.Obj, map.Life, pfn: map.FirstPfn, count: (long)(map.LastPfn - map.FirstPfn + 1));
    }

    private void MemremapEnds(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var pgmap = Need(fields, TraceField.Pgmap, name);
        var address = Need(fields, TraceField.Addr, name);
        _task.Mapping = null;
        (_task.DevmDevice, _task.DevmPgmap) = (null, 0);
        if (!_maps.TryGetValue(pgmap, out var map))
        {
            return;
        }

        if (!IsErrorPointer(address))
        {
            map.Virt = address;
            Place(map);
            Emit(
                EventKind.MemremapEnd,
                map.Device.Obj,
                map.Device.Life,
                start: map.Address,
                size: SizeOf(map),
                other: map.Obj);
            return;
        }

        _failedAdds++;
        var error = -unchecked((long)address);
        var now = Emit(
            EventKind.MemremapEnd,
            map.Device.Obj,
            map.Device.Life,
            start: map.Address,
            size: SizeOf(map),
            other: map.Obj,
            error: error);
        if (map.Memory is MapMemory.Present)
        {
            _ledger.Violated(
                TraceRule.ErrorNoResidue, "memory-left", map.Name, _line,
                $"Let C = the memremap_pages of {map} that failed with errno {error} at {Say(now)}. Then C undoes "
                + "what it did; however, its memory was added and "
                + "never removed: a contradiction.",
                [Record(map.Device.Name, map.Device.Life, now)]);
        }
        else
        {
            _ledger.Ok(TraceRule.ErrorNoResidue);
        }
    }

    private void MemunmapBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var pgmap = Need(fields, TraceField.Pgmap, name);
        if (!_maps.TryGetValue(pgmap, out var map) || map.Memory is not MapMemory.Present)
        {
            var created = map is { Memory: MapMemory.None };
            map = created ? map! : NewMap(pgmap, fields, name, created: false);
            if (!created)
            {
                Place(map);
                Note(
                    "The trace starts in the middle: some page maps were created before it, and their holders are not "
                    + "known.");
            }
        }

        map.UnmapBegin = Emit(
            EventKind.TeardownBegin,
            map.Device.Obj,
            map.Device.Life,
            start: map.Address,
            size: SizeOf(map),
            other: map.Obj);
        map.PinnedAtKill = CountPinned(map);
        _task.Unmapping = map;
        if (map.Device.Unbind is { } unbind && unbind.Begin.Task == _task)
        {
            unbind.Maps.Add(map);
        }
    }

    private void MemunmapEnds(ulong pgmap)
    {
        _task.Unmapping = null;
        if (_maps.TryGetValue(pgmap, out var map) && map.UnmapBegin.IsSeen && !map.UnmapEnd.IsSeen)
        {
            if (map.Memory is MapMemory.Removed && !map.RemoveEnd.IsSeen)
            {
                map.RemoveEnd = Now(EventKind.MemoryRemove);
            }

            map.UnmapEnd = Emit(
                EventKind.TeardownEnd,
                map.Device.Obj,
                map.Device.Life,
                start: map.Address,
                size: SizeOf(map),
                other: map.Obj);
            if (map.Device.Unbind is null)
            {
                _ledger.Ok(TraceRule.UnbindLive);
            }
        }
    }

    private TracedMap? MapOfRef(ulong reference)
    {
        if (reference == 0)
        {
            return null;
        }

        if (_refOffset is { } offset)
        {
            return _maps.GetValueOrDefault(unchecked(reference - (ulong)offset));
        }

        // The ref lies inside the pgmap; where, differs between kernels.
        TracedMap? nearest = null;
        foreach (var candidate in _maps.Values)
        {
            if (unchecked(reference - candidate.Pgmap) < TracedMap.StructBytesMax
                && (nearest is null || candidate.Pgmap > nearest.Pgmap))
            {
                nearest = candidate;
            }
        }

        if (nearest is not null)
        {
            _refOffset ??= (int)unchecked(reference - nearest.Pgmap);
        }

        return nearest;
    }

    private void RefInits(ulong reference)
    {
        if (_task.Mapping is { } map && unchecked(reference - map.Pgmap) < TracedMap.StructBytesMax)
        {
            map.Ref = reference;
            _refOffset = (int)unchecked(reference - map.Pgmap);
        }
    }

    private void RefInitialised(ulong reference, long error)
    {
        if (_task.Mapping is { } map && map.Ref == reference && error == 0)
        {
            map.RefLives = true;
            Emit(EventKind.RefInit, map.RefObj, map.Life, count: 1);
        }
    }

    private void RefKilled(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        if (MapOfRef(Need(fields, TraceField.Ref, name)) is not { } map)
        {
            return;
        }

        var now = Emit(EventKind.RefKill, map.RefObj, map.Life);
        if (!map.Kill.IsSeen)
        {
            _ledger.Ok(TraceRule.KillOnce);
            (map.Kill, map.KillCount) = (now, fields[TraceField.Count]);
            map.PinnedAtKill = CountPinned(map);
            return;
        }

        _ledger.Violated(
            TraceRule.KillOnce, "killed-twice", map.RefName, _line,
            $"Let R = the ref of {map}. Then R is killed once in its life; however, it was killed at {Say(map.Kill)} "
            + $"and again at {Say(now)}, with no "
            + "reinit between them: a contradiction, the second kill drops a reference that nobody held.",
            [Record(map.RefName, map.Life, map.Kill), Record(map.RefName, map.Life, now)]);
    }

    private void RefSwitches(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        _switchVisible = true;
        if (MapOfRef(Need(fields, TraceField.Ref, name)) is not { } map || map.Switch.IsSeen)
        {
            return;
        }

        map.Switch = Emit(EventKind.SwitchDone, map.RefObj, map.Life);
        if (!map.Exit.IsSeen || !map.Kill.IsSeen)
        {
            return;
        }

        // The exit was entered before; it is wrong for sure once its task had gone on before the switch ran.
        if (map.ExitDoneLine > 0 && map.ExitDoneLine < _line)
        {
            _ledger.Violated(
                TraceRule.ExitNotSwitching, "exit-while-switching", map.RefName, _line,
                $"Let R = the ref of {map}. Then R's switch to atomic mode was pending from its kill at "
                + $"{Say(map.Kill)} until {Say(map.Switch)}; however, R was "
                + $"exited at {Say(map.Exit)}, between them: a contradiction.",
                [
                    Record(map.RefName, map.Life, map.Kill),
                    Record(map.RefName, map.Life, map.Exit),
                    Record(map.RefName, map.Life, map.Switch),
                ]);
        }
        else
        {
            _ledger.Undecided(TraceRule.ExitNotSwitching);
        }
    }

    private void RefZero(ulong reference)
    {
        _zeroVisible = true;
        if (MapOfRef(reference) is not { } map || map.Zero.IsSeen)
        {
            return;
        }

        map.Zero = Emit(EventKind.RefZero, map.RefObj, map.Life);
        map.WaitEndedBy = _task.FreeingOf == map
            ? $"{_task.Label} freeing page 0x{_task.FreeingPfn:x}"
            : null;
        if (map.Exit.IsSeen && map.Kill.IsSeen && !map.ExitHasCount)
        {
            JudgeLateZero(map);
        }

        if (map.RemoveBegin.IsSeen)
        {
            _removedUnreaped.Remove(map);
            ViolateReap(map, $"the reference reached zero only at {Say(map.Zero)}", "zero-after-removal");
        }
    }

    private void RefZeroReturned(ulong reference, ReadOnlySpan<byte> caller)
    {
        if (MapOfRef(reference) is not { Zero.IsSeen: true } map || map.Zero.Task != _task
            || map.WaitEndedBy is not null)
        {
            return;
        }

        map.WaitEndedBy = caller.SequenceEqual("percpu_ref_switch_to_atomic_rcu"u8)
            ? "the switch to atomic mode after a grace period (nobody held a reference any more)"
            : $"{_task.Label} in {TraceText.Printable(caller)}";
    }

    private void RefExits(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        if (MapOfRef(Need(fields, TraceField.Ref, name)) is not { } map || map.Exit.IsSeen)
        {
            return;
        }

        map.Exit = Emit(EventKind.RefExit, map.RefObj, map.Life);
        map.RefLives = false;
        _task.Exited = map;
        (map.ExitHasCount, map.ExitCount) = (fields.Has(TraceField.Count), fields[TraceField.Count]);
        _exiting.Add(map);
        if (map.Zero.IsSeen || !map.Kill.IsSeen || (map.ExitHasCount && map.ExitCount == 0))
        {
            _ledger.Ok(TraceRule.ExitAfterZero);
        }
        else if (map.ExitHasCount)
        {
            _ledger.Violated(
                TraceRule.ExitAfterZero, "exit-before-zero", map.RefName, _line,
                $"Let R = the ref of {map}, killed at {Say(map.Kill)}. Then R is exited after it reached zero; "
                + $"however, {Say(map.Exit)} read its count as "
                + $"0x{map.ExitCount:x}: a contradiction.",
                [
                    Record(map.RefName, map.Life, map.Kill),
                    Record(map.RefName, map.Life, map.Exit, ("value", $"0x{map.ExitCount:x}")),
                ]);
        }

        if (map.Switch.IsSeen && map.Kill.IsSeen)
        {
            _ledger.Ok(TraceRule.ExitNotSwitching);
        }
    }

    /// <summary>Zero was recorded after the exit was entered, and the exit said no count.</summary>
    private void JudgeLateZero(TracedMap map)
    {
        if (map.ExitDoneLine > 0 && map.ExitDoneLine < _line)
        {
            _ledger.Violated(
                TraceRule.ExitAfterZero, "exit-before-zero", map.RefName, _line,
                $"Let R = the ref of {map}, killed at {Say(map.Kill)}. Then R is exited after it reached zero; "
                + $"however, it was exited at {Say(map.Exit)}, its task had "
                + $"gone on by line {map.ExitDoneLine}, and zero came at {Say(map.Zero)}: a contradiction.",
                [
                    Record(map.RefName, map.Life, map.Kill),
                    Record(map.RefName, map.Life, map.Exit),
                    Record(map.RefName, map.Life, map.Zero),
                ]);
        }
        else
        {
            _ledger.Undecided(TraceRule.ExitAfterZero);
        }
    }

    private void RefRevived(ulong reference)
    {
        if (MapOfRef(reference) is { } map)
        {
            (map.Kill, map.Switch, map.Zero) = (default, default, default);
            Emit(EventKind.RefResurrect, map.RefObj, map.Life);
        }
    }

    private void MemoryRemoves(ulong pfn)
    {
        var map = _task.Unmapping is { } unmapping && unmapping.Contains(pfn) ? unmapping
            : _task.Mapping is { } failing && failing.Contains(pfn) ? failing : FindRange(pfn);
        if (map is null || map.RemoveBegin.IsSeen || map.Memory is not MapMemory.Present)
        {
            return;
        }

        map.Memory = MapMemory.Removed;
        map.RemoveBegin = Emit(
            EventKind.MemoryRemove,
            map.Obj,
            map.Life,
            pfn: map.FirstPfn,
            count: (long)(map.LastPfn - map.FirstPfn + 1));
        JudgeReaped(map);
        foreach (var (page, state) in map.Pages)
        {
            if (state.Count >= PinBias)
            {
                (map.PinnedAtRemoval ??= []).Add(page, state);
            }
        }

        if (map.PinnedAtRemoval is null && map.Pages.Count > 0)
        {
            _ledger.Ok(TraceRule.NoUseAfterRemove);
        }

        map.Pages.Clear();
        map.Pages.TrimExcess();
    }

    private void JudgeReaped(TracedMap map)
    {
        if (map.Zero.IsSeen)
        {
            _ledger.Ok(TraceRule.ReapBeforeRemove);
        }
        else if (!map.UnmapBegin.IsSeen && !map.Kill.IsSeen && _task.Mapping == map)
        {
            // An error exit before the ref was ever shared.
            _ledger.Ok(TraceRule.ReapBeforeRemove);
        }
        else
        {
            _removedUnreaped.Add(map);
        }
    }

    private void ViolateReap(TracedMap map, string however, string signature)
    {
        var begin = map.Kill.IsSeen ? map.Kill : map.UnmapBegin;
        List<string> evidence = [];
        if (begin.IsSeen)
        {
            evidence.Add(Record(begin == map.Kill ? map.RefName : map.Device.Name, map.Life, begin));
        }

        evidence.Add(RemovalRecord(map));
        if (map.Zero.IsSeen)
        {
            evidence.Add(Record(map.RefName, map.Life, map.Zero));
        }

        _ledger.Violated(
            TraceRule.ReapBeforeRemove, signature, map.Name, map.RemoveBegin.Line,
            $"Let M = {map}{(begin.IsSeen ? $", whose teardown began at {Say(begin)}" : "")}. Then the memory of M is "
            + "removed after its reference reached zero; however, the removal "
            + $"began at {Say(map.RemoveBegin)}, and {however}: a contradiction.",
            evidence);
    }

    private static string RemovalRecord(TracedMap map) => Record(
        map.Name, map.Life, map.RemoveBegin, ("pfn", $"0x{map.FirstPfn:x}"), ("count", map.LastPfn - map.FirstPfn + 1));

    private void MemoryRemoved()
    {
        if (_task.Unmapping is { RemoveBegin.IsSeen: true } map)
        {
            map.RemoveEnd = Now(EventKind.MemoryRemove);
        }
    }

    private void PagesRemoved()
    {
        if (_task.Unmapping is { RemoveBegin.IsSeen: true, RemoveEnd.IsSeen: false } map)
        {
            map.RemoveEnd = Now(EventKind.MemoryRemove);
        }
    }

    private TracedMap? FindRange(ulong pfn)
    {
        if (_lastHit is { } hit && hit.Contains(pfn) && hit.Memory is MapMemory.Present)
        {
            return hit;
        }

        foreach (var map in _ranges)
        {
            if (map.Contains(pfn))
            {
                return _lastHit = map;
            }
        }

        return null;
    }
}
