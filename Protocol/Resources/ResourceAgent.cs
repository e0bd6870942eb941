using Fleet.Kernel.History;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Resources;

/// <summary>One peer-to-peer resource: its percpu_ref and completion, and their events.</summary>
/// <remarks>
/// Concurrency: one grain turn; nothing here waits. The shell commits before it answers.
/// Source: kernel-model A.1, B.3; drivers/pci/p2pdma.c (percpu release, kill and cleanup callbacks).
/// </remarks>
public sealed partial class ResourceAgent
{
    private RefCentre _centre;
    private readonly int _device;
    private TaskCompletionSource? _reaped;
    private bool _isWaiting;

    /// <param name="key"><c>host/bdf/bar4</c> or <c>host/bdf/shared</c>.</param>
    public ResourceAgent(FleetContext context, string key)
    {
        Log = new(context, context.Objects.Intern($"ref:{key}"));
        _device = context.Objects.Intern($"dev:{key.AsSpan(0, key.LastIndexOf('/'))}");
    }

    public ObjectLog Log { get; }

    /// <summary>Completes when the last reference of the current life has gone.</summary>
    public Task Reaped
    {
        get
        {
            if (_centre.IsReaped)
            {
                return Task.CompletedTask;
            }

            _reaped ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            return _reaped.Task;
        }
    }

    public At Init(int life, At cause)
    {
        if (life < Life)
        {
            return Log.Last;
        }

        Life = life;
        Log.Life = life;
        _reaped = null;
        _isWaiting = false;
        _centre.Init();
        return Log.Add(EventKind.RefInit, count: 1, after: [Device(cause)]);
    }

    public At Kill(int life, At cause)
    {
        if (life != Life)
        {
            return Log.Last;
        }

        Log.Add(
            EventKind.RefKill, actor: "unbind", count: _centre.Value, text: _centre.IsDying ? "dead" : null,
            after: [Device(cause)]);
        _centre.Kill();
        return Log.Add(EventKind.SwitchBegin, count: _centre.Value);
    }

    public At Confirm(int life, ReadOnlySpan<SlotReport> folds)
    {
        if (life != Life)
        {
            return Log.Last;
        }

        var isReleased = _centre.Confirm(folds);
        var after = new Position[folds.Length];
        for (var i = 0; i < after.Length; i++)
        {
            after[i] = PositionOf(folds[i]);
        }

        Log.Add(EventKind.SwitchDone, actor: "rcu", count: _centre.Value, after: after);
        return isReleased ? Release(null) : Log.Last;
    }

    public At Report(int life, in SlotReport report) =>
        life == Life && _centre.Apply(report) ? Release(report) : Log.Last;

    public ZeroReply WaitZero(int life, WaitStep step, At cause)
    {
        if (life != Life)
        {
            return new(life < Life, 0, Log.Last);
        }

        if (step is WaitStep.BeginCleanup)
        {
            Log.Add(EventKind.CleanupBegin, after: [Device(cause)]);
        }

        if (step is not WaitStep.Poll)
        {
            _isWaiting = true;
            Log.Add(EventKind.WaitBegin, count: _centre.Value, after: [Device(cause)]);
        }

        if (!_centre.IsReaped)
        {
            return new(false, _centre.Value, Log.Last);
        }

        if (_isWaiting)
        {
            _isWaiting = false;
            Log.Add(EventKind.WaitEnd, count: _centre.Value);
        }

        return new(true, _centre.Value, Log.Last);
    }

    public At Exit(int life, bool endsCleanup, At cause)
    {
        if (life != Life)
        {
            return Log.Last;
        }

        if (_centre.Exit())
        {
            Log.Add(EventKind.RefExit, count: _centre.Value, after: [Device(cause)]);
        }

        return endsCleanup ? Log.Add(EventKind.CleanupEnd) : Log.Last;
    }

    private At Release(SlotReport? last)
    {
        Log.Add(
            EventKind.RefZero, actor: last is null ? "rcu" : "put",
            after: last is { } report ? [PositionOf(report)] : null);
        var at = Log.Add(EventKind.Complete);
        _reaped?.TrySetResult();
        return at;
    }

    private Position Device(At at) => new(_device, at.Gen, at.Seq, at.Life);

    private Position PositionOf(in SlotReport report)
    {
        var obj = report.Slot == SlotReport.DeviceSlot
            ? _device
            : Log.Context.Objects.Intern("map:" + (
                Log.Name.EndsWith("/" + DevicePlan.RangeName, StringComparison.Ordinal) ? Log.Name["ref:".Length..]
                : $"{Log.Name["ref:".Length..Log.Name.LastIndexOf('/')]}/bar{report.Slot}"));
        return new(obj, report.At.Gen, report.At.Seq, report.At.Life);
    }
}
