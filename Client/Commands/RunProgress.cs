using System.Diagnostics;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Kernel.History;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary>A run's progress on standard error: one table that redraws itself for a person, lines for a log.</summary>
internal sealed class RunProgress(Terminal terminal) : IRunProgress, IAsyncDisposable
{
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _live;
    private LiveDisplayContext? _display;
    private TimeSpan _lastLine;

    public void Begin(string part)
    {
        lock (_gate)
        {
            StopLive();
            terminal.SayProgress(
                string.Create(CultureInfo.InvariantCulture, $"[{_clock.Elapsed.TotalSeconds,6:0.0}s] {part}"));
        }
    }

    public void Show(in RunMoment moment)
    {
        lock (_gate)
        {
            if (terminal.IsInteractive)
            {
                StartLive();
                _display?.UpdateTarget(TableOf(moment));
            }
            else if (_clock.Elapsed - _lastLine >= LineInterval)
            {
                _lastLine = _clock.Elapsed;
                terminal.SayProgress(string.Create(
                    CultureInfo.InvariantCulture,
                    $"[{_clock.Elapsed.TotalSeconds,6:0.0}s] {moment.Phase}: {moment.Operations:N0} operations ({moment.RatePerSecond:N0}/s), "
                    + $"alloc p50 {moment.AllocP50Ms:0.##} ms p99 {moment.AllocP99Ms:0.##} ms, {moment.Live:N0} live, "
                    + $"{moment.Unbinds:N0} unbinds ({moment.UnbindsInFlight:N0} in flight), {moment.Unknown:N0} unknown, {moment.Findings:N0} findings"));
            }
        }
    }

    public void Found(Finding finding)
    {
        lock (_gate)
        {
            terminal.Progress.MarkupLine(
                $"[red]finding[/] {Terminal.Safe(finding.Rule)} at {Terminal.Safe(finding.Object)}");
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            StopLive();
        }

        return ValueTask.CompletedTask;
    }

    private void StartLive()
    {
        if (_live is not null)
            return;

        _live = terminal.Progress.Live(new Text("")).AutoClear(true).StartAsync(async display =>
        {
            _display = display;
            await _over.Task;
        });
    }

    private void StopLive()
    {
        _display = null;
        _over.TrySetResult();
    }

    private static Table TableOf(in RunMoment moment)
    {
        var table = new Table { Border = TableBorder.Rounded };
        table.AddColumns(
            "phase", "elapsed", "operations", "rate", "alloc p50", "alloc p99", "live", "unbinds", "in flight",
            "unknown", "findings", "spool");
        table.AddRow(
            Terminal.Safe(moment.Phase),
            Number(moment.Elapsed.TotalSeconds, "0.0 s"),
            Number(moment.Operations, "N0"),
            Number(moment.RatePerSecond, "#,0 /s"),
            Number(moment.AllocP50Ms, "0.## ms"),
            Number(moment.AllocP99Ms, "0.## ms"),
            Number(moment.Live, "N0"),
            Number(moment.Unbinds, "N0"),
            Number(moment.UnbindsInFlight, "N0"),
            Number(moment.Unknown, "N0"),
            moment.Findings > 0 ? $"[red]{moment.Findings}[/]" : "0",
            Number(moment.Backlog, "N0"));
        return table;
    }

    private static string Number(double value, string format) =>
        Terminal.Safe(value.ToString(format, CultureInfo.InvariantCulture));
}
