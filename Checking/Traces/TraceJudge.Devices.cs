using System.Globalization;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Devices, their binds and unbinds, and their devres actions.</summary>
internal sealed partial class TraceJudge
{
    private readonly Dictionary<ulong, TracedDevice> _byDev = [];
    private readonly Dictionary<ulong, TracedDevice> _byPdev = [];
    private readonly List<OpenUnbind> _open = [];
    private readonly List<(TracedDevice Device, OpenUnbind Unbind, Moment End)> _unbinds = [];
    private readonly Dictionary<ulong, List<DevresAction>> _actions = [];
    private string? _markedDevice;
    private int _nodes;

    /// <summary>Distance from a pci_dev to the device inside it; 0 until seen.</summary>
    private ulong _devOffset;

    private void Mark(ReadOnlySpan<byte> body)
    {
        var at = body.IndexOf("USER bind-begin dev="u8);
        if (at >= 0)
        {
            var name = body[(at + 20)..];
            var end = name.IndexOf((byte)' ');
            _markedDevice = TraceText.Printable(end < 0 ? name : name[..end]);
        }
    }

    private TracedDevice Named(string shown, string prefix = "")
    {
        var name = $"dev:trace/{prefix}{shown}";
        if (!_devices.TryGetValue(name, out var device))
        {
            device = new(name, shown, _objects.Intern(name));
            _devices.Add(name, device);
        }

        return device;
    }

    private static string PrefixOf(string shown) => shown.StartsWith("dax", StringComparison.Ordinal)
        || shown.StartsWith("pmem", StringComparison.Ordinal)
            || shown.StartsWith("namespace", StringComparison.Ordinal) ? "nd:" : "";

    private TracedDevice? NameDevice(in TraceFields fields)
    {
        var dev = fields[TraceField.Dev];
        if (fields.Name.IsEmpty)
        {
            return _byDev.GetValueOrDefault(dev);
        }

        var shown = TraceText.Printable(fields.Name).Replace('/', '!');
        if (_byDev.TryGetValue(dev, out var known) && known.Shown == shown)
        {
            return known;
        }

        var named = Named(shown, PrefixOf(shown));
        _byDev[dev] = named;
        return named;
    }

    private TracedDevice Device(ulong dev)
    {
        if (!_byDev.TryGetValue(dev, out var device))
        {
            device = _devOffset != 0 && _byPdev.TryGetValue(unchecked(dev - _devOffset), out var pci)
                ? pci
                : Named($"device-0x{dev:x}");
            _byDev[dev] = device;
        }

        return device;
    }

    /// <summary>The device that a pci_dev pointer stands for, as far as anything seen tells.</summary>
    private TracedDevice PciDevice(ulong pdev)
    {
        if (_devOffset != 0 && _byDev.TryGetValue(unchecked(pdev + _devOffset), out var inside))
        {
            _byPdev[pdev] = inside;
            return inside;
        }

        if (!_byPdev.TryGetValue(pdev, out var device))
        {
            device = _task.Probing ?? Named(_markedDevice ?? $"pci-0x{pdev:x}");
            _byPdev[pdev] = device;
        }

        return device;
    }

    private void PairPciDevice(ulong pdev)
    {
        if (_task.Probing is { } device)
        {
            _byPdev[pdev] = device;
            if (_devOffset != 0)
            {
                return;
            }

            foreach (var (dev, known) in _byDev)
            {
                if (known == device && unchecked(dev - pdev) < 4096)
                {
                    _devOffset = unchecked(dev - pdev);
                }
            }
        }
    }

    private void ProbeBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        _ = Need(fields, TraceField.Dev, name);
        var device = NameDevice(fields) ?? Device(fields[TraceField.Dev]);
        device.Life++;
        _task.Probing = device;
        Emit(EventKind.BindBegin, device.Obj, device.Life);
    }

    private void ProbeEnds(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var device = Device(Need(fields, TraceField.Dev, name));
        _task.Probing = null;
        Emit(EventKind.BindEnd, device.Obj, device.Life, error: Math.Abs((long)unchecked((int)fields[TraceField.Ret])));
    }

    private void UnbindBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        _ = Need(fields, TraceField.Dev, name);
        var device = NameDevice(fields) ?? Device(fields[TraceField.Dev]);
        var unbind = new OpenUnbind(device, Emit(EventKind.UnbindBegin, device.Obj, device.Life));
        if (device.Unbind is null)
        {
            device.Unbind = unbind;
            _open.Add(unbind);
        }
    }

    private void UnbindEnds(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var device = Device(Need(fields, TraceField.Dev, name));
        if (device.Unbind is not { } unbind || unbind.Begin.Task != _task)
        {
            return;
        }

        device.Unbind = null;
        _open.Remove(unbind);
        var end = Emit(EventKind.UnbindEnd, device.Obj, device.Life);
        _unbinds.Add((device, unbind, end));
        if (unbind.Maps.Count > 0)
        {
            _ledger.Ok(TraceRule.UnbindLive);
        }

        JudgeQuiescent(device, unbind, end);
        _actions.Remove(fields[TraceField.Dev]);
    }

    private void JudgeQuiescent(TracedDevice device, OpenUnbind unbind, Moment end)
    {
        var judged = unbind.Maps.Count > 0 || device.Pool is not null || device.Maps.Count > 0;
        if (device.Maps.Find(map => map.Memory is MapMemory.Present && map.CreatedInTrace) is { } left)
        {
            if (IsIncomplete)
            {
                _ledger.Undecided(TraceRule.UnbindQuiescent);
                return;
            }

            _ledger.Violated(
                TraceRule.UnbindQuiescent, "mapping-left", device.Name, end.Line,
                $"Let U = the unbind of {device.Shown}, begun at {Say(unbind.Begin)}, M = {left}. Then U returned at "
                + $"{Say(end)}; however, "
                + "the memory of M had not been removed: a contradiction, as nothing unmaps it later.",
                [Record(device.Name, device.Life, unbind.Begin), Record(device.Name, device.Life, end)]);
        }
        else if (device.Pool is { Destroyed: false, CreatedInTrace: true } pool && !IsIncomplete && _poolDestroySeen)
        {
            _ledger.Violated(
                TraceRule.UnbindQuiescent, "pool-left", device.Name, end.Line,
                $"Let U = the unbind of {device.Shown}, begun at {Say(unbind.Begin)}, P = pool 0x{pool.Pointer:x}. "
                + $"Then U returned at {Say(end)}; "
                + "however, P had not been destroyed: a contradiction, as nothing destroys it later.",
                [Record(device.Name, device.Life, unbind.Begin), Record(device.Name, device.Life, end)]);
        }
        else if (judged)
        {
            _ledger.Ok(TraceRule.UnbindQuiescent);
        }

        device.Maps.RemoveAll(map => map.Memory is not MapMemory.Present);
        device.Pool = null;
    }

    private void ActionRegisters(in TraceFields fields)
    {
        if (fields.Has(TraceField.Dev) && fields.Has(TraceField.Data) && !fields.Action.IsEmpty)
        {
            _task.Registering = (
                fields[TraceField.Dev],
                new(++_nodes, TraceText.Printable(fields.Action), fields[TraceField.Data], _line));
        }
    }

    private void ActionRegistered(in TraceFields fields)
    {
        if (_task.Registering is { } registering && fields.Error == 0)
        {
            var (dev, action) = registering;
            if (!_actions.TryGetValue(dev, out var actions))
            {
                _actions.Add(dev, actions = []);
            }

            actions.Add(action);
            PairByAction(action, dev);
            var device = Device(dev);
            Emit(EventKind.DevresAdd, device.Obj, device.Life, node: action.Node, fn: action.Function);
        }

        _task.Registering = null;
    }

    /// <summary>The release of p2pdma is registered with the pci_dev as its data: that gives the distance.</summary>
    private void PairByAction(DevresAction action, ulong dev)
    {
        if (action.Function == "pci_p2pdma_release" && unchecked(dev - action.Data) < 4096)
        {
            _devOffset = unchecked(dev - action.Data);
            _byPdev[action.Data] = Device(dev);
        }
    }

    private void ActionRuns(in TraceFields fields)
    {
        // Two devices may have one name at a time (dax0.0 on two buses): the list belongs to the pointer.
        var dev = fields[TraceField.Dev];
        if (!fields.Has(TraceField.Data) || fields.Action.IsEmpty || !_actions.TryGetValue(dev, out var actions))
        {
            return;
        }

        var device = Device(dev);

        var (function, data) = (TraceText.Printable(fields.Action), fields[TraceField.Data]);
        var at = actions.FindLastIndex(action => action.Data == data && action.Function == function);
        if (at < 0)
        {
            return;
        }

        var ran = actions[at];
        var now = Emit(EventKind.DevresRun, device.Obj, device.Life, node: ran.Node, fn: function);
        actions.RemoveAt(at);
        if (ran.Overtaken.IsSeen)
        {
            _ledger.Violated(
                TraceRule.Lifo, "older-first", device.Name, _line,
                $"Let A = the action {ran.Function} of {device.Shown}, registered at line {ran.Line}. Then A is newer "
                + $"than {ran.OvertakenBy}; "
                + $"however, that one ran at {Say(ran.Overtaken)} and A only at {Say(now)}: a contradiction, newest "
                + "run first.",
                [Record(device.Name, device.Life, ran.Overtaken), Record(device.Name, device.Life, now)]);
            return;
        }

        var newer = actions.Count - at;
        for (var i = at; i < actions.Count; i++)
        {
            actions[i].Overtaken = now;
            actions[i].OvertakenBy = $"{function} (line {ran.Line})";
        }

        if (newer == 0)
        {
            _ledger.Ok(TraceRule.Lifo);
        }
        else
        {
            _ledger.Undecided(TraceRule.Lifo);
        }
    }

    private void AddResourceBegins(in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var pdev = Need(fields, TraceField.Pdev, name);
        var device = _byPdev.GetValueOrDefault(pdev) ?? _task.Probing;
        if (device is null && fields.Has(TraceField.Bus) && fields.Has(TraceField.Devfn))
        {
            var (bus, devfn) = (fields[TraceField.Bus] & 0xff, fields[TraceField.Devfn] & 0xff);
            device = Named(string.Create(CultureInfo.InvariantCulture, $"0000:{bus:x2}:{devfn >> 3:x2}.{devfn & 7}"));
        }

        device ??= PciDevice(pdev);
        _byPdev[pdev] = device;
        _task.AddResource = new(device, (int)(fields[TraceField.Bar] & 0xff));
        Emit(
            EventKind.AddResourceBegin,
            device.Obj,
            device.Life,
            start: fields[TraceField.Start],
            size: fields[TraceField.Size]);
    }

    private void AddResourceEnds(in TraceFields fields)
    {
        if (_task.AddResource is not { } call)
        {
            return;
        }

        _task.AddResource = null;
        var device = call.Device;
        var now = Emit(EventKind.AddResourceEnd, device.Obj, device.Life, error: fields.Error);
        if (fields.Error == 0)
        {
            return;
        }

        _failedAdds++;
        if (call.Maps.Find(map => map.Memory is MapMemory.Present) is { } left)
        {
            _ledger.Violated(
                TraceRule.ErrorNoResidue, "mapping-left", device.Name, _line,
                $"Let R = the add_resource of {device.Shown} bar {call.Bar} that failed with errno {fields.Error} at "
                + $"{Say(now)}, M = {left}. "
                + "Then R may leave nothing behind; however, the memory of M is still there: a contradiction.",
                [Record(device.Name, device.Life, now)]);
        }
        else
        {
            _ledger.Ok(TraceRule.ErrorNoResidue);
        }
    }

    private void TaskHangs(in TraceFields fields)
    {
        var pid = unchecked((int)fields[TraceField.Pid]);
        var open = _open.Find(
            unbind => unbind.Begin.Task is { } task && task.Label.EndsWith($"-{pid}", StringComparison.Ordinal));
        if (open is null)
        {
            return;
        }

        var now = Emit(EventKind.HangDetected, open.Device.Obj, open.Device.Life);
        _ledger.Violated(
            TraceRule.UnbindLive, "hung-task", open.Device.Name, _line,
            $"Let U = the unbind of {open.Device.Shown}, begun at {Say(open.Begin)}. Then U ends once every holder "
            + "has let go; however, "
            + $"the kernel's own watchdog reported its task as hung at {Say(now)}.",
            [Record(open.Device.Name, open.Device.Life, open.Begin), Record(open.Device.Name, open.Device.Life, now)]);
    }
}
