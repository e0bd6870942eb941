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
    private TaskCompletionSource? _over;
    private Task _live = Task.CompletedTask;
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

    public void Show(RunMoment moment)
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
                    $"[{_clock.Elapsed.TotalSeconds,6:0.0}s] {moment.Phase}: {moment.Operations:N0} operations "
                    + $"({moment.RatePerSecond:N0}/s), "
                    + $"alloc p50 {moment.AllocP50Ms:0.##} ms p99 {moment.AllocP99Ms:0.##} ms, {moment.Live:N0} live, "
                    + $"{moment.Unbinds:N0} unbinds ({moment.UnbindsInFlight:N0} in flight), {moment.Unknown:N0} "
                    + $"unknown, {moment.Findings:N0} findings"));
            }
        }
    }

    public void Say(string line)
    {
        lock (_gate)
        {
            terminal.SayProgress("  " + ForeignText.Clean(line, 500));
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
        if (_over is not null)
            return;

        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _over = over;
        _live = terminal.Progress.Live(new Text("")).AutoClear(true).StartAsync(async display =>
        {
            _display = display;
            await over.Task;
        });
    }

    private void StopLive()
    {
        if (_over is null)
            return;

        // What is written next must not be taken away with the table.
        _display = null;
        _over.SetResult();
        _live.GetAwaiter().GetResult();
        _over = null;
    }

    private static Table TableOf(RunMoment moment)
    {
        var table = new Table { Border = TableBorder.Rounded, ShowHeaders = false };
        table.AddColumns("", "", "", "");
        Add("phase", Terminal.Safe(moment.Phase), "elapsed", Number(moment.Elapsed.TotalSeconds, "0.0 s"));
        Add("operations", Number(moment.Operations, "N0"), "rate", Number(moment.RatePerSecond, "#,0 /s"));
        Add("alloc p50", Number(moment.AllocP50Ms ?? 0, "0.00 ms"), "alloc p99", Number(moment.AllocP99Ms ?? 0, "0.00 ms"));
        Add("live allocations", Number(moment.Live, "N0"), "unknown outcomes", Number(moment.Unknown, "N0"));
        Add("unbinds", Number(moment.Unbinds, "N0"), "in flight", Number(moment.UnbindsInFlight, "N0"));
        var findings = moment.Findings > 0 ? $"[red]{moment.Findings}[/]" : "0";
        Add("findings", findings, "not stored yet", Number(moment.Backlog, "N0"));
        return table;

        void Add(string left, string leftValue, string right, string rightValue) =>
            table.AddRow($"[grey]{left}[/]", leftValue, $"[grey]{right}[/]", rightValue);
    }

    private static string Number(double value, string format) =>
        Terminal.Safe(value.ToString(format, CultureInfo.InvariantCulture));
}
