using System.Diagnostics;
using System.Diagnostics.Metrics;
using Fleet.Silo.Cluster;
using Fleet.Silo.Options;
using Fleet.Silo.Service;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Fleet.Silo.Telemetry;

/// <summary>What a silo process measures of itself, and, where an endpoint is set, sends over OTLP.</summary>
/// <remarks>
/// Values are read when they are asked for, from what the process counts anyway: without an endpoint nothing is spent.
/// </remarks>
internal sealed class SiloTelemetry : IDisposable
{
    public const string Name = "Fleet.Silo";

    public static readonly ActivitySource Traces = new(Name);

    private readonly Meter _meter = new(Name);
    private readonly Counter<long> _runs;
    private readonly MeterProvider? _metrics;
    private readonly TracerProvider? _traces;

    public SiloTelemetry(SiloSettings settings, SiloState state)
    {
        _runs = _meter.CreateCounter<long>("fleet.runs.served", "{run}", "Runs that this process served to their end.");
        _meter.CreateObservableGauge(
            "fleet.silo.ready", () => state.NotReadyBecause is null ? 1 : 0, null,
            "1 while the silo may be given work.");
        _meter.CreateObservableGauge(
            "fleet.store.answers", () => state.StoreAnswers ? 1 : 0, null, "1 while the store answers.");
        _meter.CreateObservableCounter(
            "fleet.events.committed", () => Reports(state).Select(report => Of(report, report.EventsCommitted)),
            "{event}", "Lifecycle events of the run that this silo made durable.");
        Rules("fleet.rule.ok", "Instances of a rule that held.", rule => rule.Ok);
        Rules("fleet.rule.violated", "Instances of a rule that were broken.", rule => rule.Violated);
        Rules("fleet.rule.undecided", "Instances that the recorded order does not decide.", rule => rule.Undecided);
        _meter.CreateObservableCounter(
            "fleet.probe",
            () => Reports(state).SelectMany(report => report.Probes.Select(
                probe => Of(report, probe.Value, new KeyValuePair<string, object?>("probe", probe.Key)))),
            "{time}", "How often a rare situation came up.");
        _meter.CreateObservableGauge(
            "fleet.findings",
            () => Reports(state).Select(report => Of(report, report.Findings.Length)),
            "{finding}", "Kinds of findings that the online checker decided.");

        if (settings.Otlp is not { } endpoint)
        {
            return;
        }

        var resource = ResourceBuilder.CreateDefault()
            .AddService(Name, serviceNamespace: settings.Cluster, serviceInstanceId: settings.Name);
        _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource)
            .AddMeter(Name, "Microsoft.Orleans", "System.Runtime")
            .AddOtlpExporter(otlp => Configure(otlp, endpoint, settings.OtlpForm, "v1/metrics")).Build();
        if (settings.TraceShare > 0)
        {
            _traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource)
                .AddSource(Name, "Microsoft.Orleans.Application", "Microsoft.Orleans.Lifecycle")
                .SetSampler(new ParentBasedSampler(new ServiceOrShare(settings.TraceShare)))
                .AddOtlpExporter(otlp => Configure(otlp, endpoint, settings.OtlpForm, "v1/traces")).Build();
        }

        void Rules(string name, string meaning, Func<RuleCount, long> count) => _meter.CreateObservableCounter(
            name,
            () => Reports(state).SelectMany(report => report.Rules.Select(
                rule => Of(report, count(rule), new KeyValuePair<string, object?>("rule", rule.Rule)))),
            "{instance}", meaning);
    }

    public void RunServed() => _runs.Add(1);

    public void Dispose()
    {
        _traces?.Dispose();
        _metrics?.Dispose();
        _meter.Dispose();
    }

    /// <summary>The endpoint is the collector's root, as the variable of the specification has it.</summary>
    private static void Configure(OtlpExporterOptions otlp, Uri endpoint, OtlpForm form, string path)
    {
        otlp.Protocol = form is OtlpForm.Grpc ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
        otlp.Endpoint = form is OtlpForm.Grpc ? endpoint : new Uri($"{endpoint.ToString().TrimEnd('/')}/{path}");
    }

    private static IEnumerable<SiloReport> Reports(SiloState state) =>
        state.Now.Report is { } report ? [report()] : [];

    private static Measurement<long> Of(
        SiloReport report, long value, params ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        new(value, [.. tags, new KeyValuePair<string, object?>("proc", report.Proc)]);

    /// <summary>What the process itself does is rare and always traced; of calls a share.</summary>
    private sealed class ServiceOrShare(double share) : Sampler
    {
        private readonly TraceIdRatioBasedSampler _share = new(share);

        public override SamplingResult ShouldSample(in SamplingParameters samplingParameters) =>
            samplingParameters.Name.StartsWith("silo ", StringComparison.Ordinal)
                ? new(SamplingDecision.RecordAndSample) : _share.ShouldSample(samplingParameters);
    }
}
