using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One session: keeps its lease, and has it barred and reaped when that ends.</summary>
/// <remarks>Concurrency: reentrant; a lapse and a close exclude each other by the turn in which they begin.</remarks>
[Reentrant]
internal sealed class SessionGrain(TimeProvider time) : Grain, ISessionGrain
{
    private string[] _hosts = [];
    private IGrainTimer? _timer;
    private TimeSpan _lease;
    private long _renewed;
    private int _number;
    private bool _isOpen;

    public ValueTask Open(string run, int number, TimeSpan lease, string[] hosts)
    {
        (_number, _lease, _hosts, _isOpen) = (number, lease, hosts, true);
        _renewed = time.GetTimestamp();
        DelayDeactivation(TimeSpan.FromDays(3650));
        _timer?.Dispose();
        _timer = this.RegisterGrainTimer(
            Lapse, new GrainTimerCreationOptions { DueTime = lease, Period = lease / 4, Interleave = true });
        return default;
    }

    public ValueTask<bool> Renew()
    {
        _renewed = time.GetTimestamp();
        return new(_isOpen);
    }

    public async ValueTask<long> Close()
    {
        if (!_isOpen)
        {
            return 0;
        }

        _isOpen = false;
        _timer?.Dispose();
        return await Reap();
    }

    private async Task Lapse(CancellationToken ct)
    {
        if (_isOpen && time.GetElapsedTime(_renewed) >= _lease)
        {
            _isOpen = false;
            _timer?.Dispose();
            await Reap();
        }
    }

    private async Task<long> Reap()
    {
        var reaped = 0L;
        foreach (var host in _hosts)
        {
            reaped += await GrainFactory.GetGrain<IHostGrain>(host).ReapSession(_number, this.GetPrimaryKeyString());
        }

        return reaped;
    }
}
