using System.Globalization;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>The end of the trace: what was held back is decided, and the report is made.</summary>
internal sealed partial class TraceJudge
{
    /// <summary>Decides what only the end decides, and says what the trace proves. Called once.</summary>
    public TraceReport End(long lineCount, long byteCount)
    {
        foreach (var map in _ranges)
        {
            Close(map);
        }

        foreach (var map in _removedUnreaped)
        {
            if (_zeroVisible && !IsIncomplete && map.CreatedInTrace)
            {
                ViolateReap(map, "the reference had not reached zero by the end of the trace", "never-zero");
            }
            else
            {
                _ledger.Undecided(TraceRule.ReapBeforeRemove);
            }
        }

        foreach (var map in _exiting)
        {
            if (map.Kill.IsSeen && !map.ExitHasCount && !map.Zero.IsSeen)
            {
                _ledger.Undecided(TraceRule.ExitAfterZero);
            }

            if (map.Kill.IsSeen && !map.Switch.IsSeen && _switchVisible)
            {
                _ledger.Undecided(TraceRule.ExitNotSwitching);
            }
        }

        JudgeOpen();
        return Report(lineCount, byteCount);
    }

    /// <summary>Teardowns that had not ended: waiting for a holder is legal, waiting for nobody is not.</summary>
    private void JudgeOpen()
    {
        foreach (var map in _all.Where(map => map.UnmapBegin.IsSeen && !map.UnmapEnd.IsSeen))
        {
            var unbind = map.Device.Unbind;
            var since = Math.Max(map.LastActivity.TimeNs, map.UnmapBegin.TimeNs);
            var idle = TimeSpan.FromTicks((_timeNs - since) / 100);
            var visible = map.CreatedInTrace && !IsIncomplete && map.Switch.IsSeen
                && map.Device.Pool is { CreatedInTrace: true };
            if (!visible || map.Zero.IsSeen || HeldBytes(map) > 0 || CountPinned(map) > 0 || idle < Patience)
            {
                _ledger.Undecided(TraceRule.UnbindLive);
                continue;
            }

            var which = unbind is null
                ? $"the teardown of {map.Device.Shown}"
                : $"the unbind of {map.Device.Shown}, begun at {Say(unbind.Begin)}";
            _ledger.Violated(
                TraceRule.UnbindLive, "stuck", map.Device.Name, map.UnmapBegin.Line,
                $"Let U = {which}, M = {map}. Then U waits for the references of M and ends when the last is "
                + "dropped; however, every allocation and pin that the "
                + $"trace shows was given back {Seconds(idle.Ticks * 100)} s before the "
                + "trace ends, and U still waits: a contradiction, a reference was leaked.",
                [Record(map.Device.Name, map.Life, map.UnmapBegin)]);
        }

        foreach (var unbind in _open.Where(unbind => unbind.Maps.TrueForAll(map => map.UnmapEnd.IsSeen)))
        {
            Note(
                $"The unbind of {unbind.Device.Shown} that began at line {unbind.Begin.Line} had not returned when "
                + "the trace ended.");
        }
    }

    private static ulong HeldBytes(TracedMap map)
    {
        if (map.Device.Pool is not { } pool)
        {
            return 0;
        }

        var bytes = 0UL;
        foreach (var range in pool.Live.All)
        {
            if (map.ContainsLinear(range.First))
            {
                bytes = unchecked(bytes + range.Last - range.First + 1);
            }
        }

        return bytes;
    }

    private TraceReport Report(long lineCount, long byteCount)
    {
        var teardowns = _all.Where(map => map.UnmapBegin.IsSeen)
            .OrderBy(map => map.UnmapBegin.Line)
            .Select(map => (Map: map, Shown: Teardown(map)))
            .ToList();
        var shown = teardowns.ToDictionary(one => one.Map, one => one.Shown);
        var complete = teardowns.Count(one => one.Shown.IsComplete);
        var violated = _ledger.Evidence.Sum(one => one.Violated);
        var verdict = violated > 0 ? RunVerdict.Invalid
            : complete > 0 && !IsIncomplete ? RunVerdict.Valid
            : RunVerdict.Unknown;
        if (_functionEntries > 0)
        {
            Note(
                $"{_functionEntries} records are of the function tracer: an entry without arguments names no object "
                + "and decides nothing.");
        }

        if (teardowns.Exists(one => one.Map is { Exit.IsSeen: true, RemoveBegin.IsSeen: true }
            && one.Map.Exit.Line < one.Map.RemoveBegin.Line))
        {
            Note("A ref was exited before the memory was removed: the order of a kernel before v6.0.");
        }

        var reason = Reason(verdict, violated, complete);
        var unbinds = _unbinds.Select(one => Show(one.Unbind, one.End))
            .Concat(_open.Select(open => Show(open, default)))
            .OrderBy(one => one.Line);
        return new()
        {
            Check = new(
                verdict,
                _ledger.Findings,
                _ledger.Evidence,
                new Dictionary<string, long>(),
                verdict is RunVerdict.Valid ? [] : [reason],
                RecordCount,
                !IsIncomplete),
            Reason = reason,
            Profile = profile,
            Unbinds = [.. unbinds],
            Teardowns = [.. teardowns.Select(one => one.Shown)],
            Devices =
            [
                .. _all.Select(map => map.Device.Shown).Concat(_unbinds.Select(one => one.Device.Shown)).Distinct(),
            ],
            PageMapCount = _mapCount,
            FailedAddCount = _failedAdds,
            LineCount = lineCount,
            ByteCount = byteCount,
            UnknownEvents = [.. _unknown.Select(one => (one.Key, one.Value)).OrderByDescending(one => one.Value)],
            Notes = _notes,
            RefOffsetBytes = _refOffset,
        };

        TracedUnbind Show(OpenUnbind unbind, Moment end) => new()
        {
            Device = unbind.Device.Shown,
            Task = unbind.Begin.Task?.Label ?? "",
            Line = unbind.Begin.Line,
            BeginNs = unbind.Begin.TimeNs,
            Took = end.IsSeen ? TimeSpan.FromTicks((end.TimeNs - unbind.Begin.TimeNs) / 100) : null,
            Teardowns = [.. unbind.Maps.Where(shown.ContainsKey).Select(map => shown[map])],
        };
    }

    private string Reason(RunVerdict verdict, long violated, int complete) => verdict switch
    {
        RunVerdict.Invalid => string.Create(
            CultureInfo.InvariantCulture,
            $"{violated} violation(s) of {_ledger.Evidence.Count(one => one.Violated > 0)} rule(s); "
            + $"{complete} complete teardown(s) seen."),
        RunVerdict.Valid => string.Create(
            CultureInfo.InvariantCulture, $"{complete} complete teardown(s), and no rule was violated."),
        _ when _mapCount == 0 => "No page map was ever created in this trace, so nothing was put to the test.",
        _ when complete == 0 => "No page map was torn down completely in this trace, so nothing was put to the test.",
        _ => "Records were lost, so that what the trace does not show may have happened.",
    };

    private static TracedTeardown Teardown(TracedMap map)
    {
        var begin = map.Kill.IsSeen ? map.Kill : map.UnmapBegin;
        return new()
        {
            Device = map.Device.Shown,
            Map = map.Name,
            Pgmap = map.Pgmap,
            Life = map.Life,
            Type = map.TypeName,
            Start = map.Start,
            SizeBytes = SizeOf(map),
            Line = map.UnmapBegin.Line,
            BeginNs = map.UnmapBegin.TimeNs,
            Waited = map.Zero.IsSeen ? TimeSpan.FromTicks((map.Zero.TimeNs - begin.TimeNs) / 100) : null,
            WaitEndedBy = map.Zero.IsSeen
                ? map.WaitEndedBy ?? $"the release callback in {map.Zero.Task?.Label}"
                : StillWaiting(map),
            PinnedPages = map.PinnedAtKill,
            Holders = [.. map.Holders.Order(StringComparer.Ordinal)],
            Steps = StepsOf(map),
            IsComplete = map is { Zero.IsSeen: true, RemoveBegin.IsSeen: true, UnmapEnd.IsSeen: true },
        };
    }

    private static string StillWaiting(TracedMap map)
    {
        var (pinned, held) = (CountPinned(map), HeldBytes(map));
        return map.RemoveBegin.IsSeen ? "zero was not seen"
            : pinned > 0
                ? $"still waits for {pinned} pinned page(s) of "
                    + string.Join(", ", map.Holders.Order(StringComparer.Ordinal))
            : held > 0 ? $"still waits for {held} allocated bytes"
            : "still waits; no holder is visible";
    }

    private static List<string> StepsOf(TracedMap map)
    {
        (string Step, Moment At)[] steps =
        [
            ("unmap", map.UnmapBegin), ("kill", map.Kill), ("switch", map.Switch), ("zero", map.Zero),
            ("remove", map.RemoveBegin),
            ("removed", map.RemoveEnd), ("exit", map.Exit), ("end", map.UnmapEnd),
        ];
        return [.. steps.Where(one => one.At.IsSeen).OrderBy(one => one.At.Line).Select(one => one.Step)];
    }
}
