/**
 * Since 1.29 ONNX Runtime sends names, hashes and sizes of the models that it runs to its makers, unless this stands in the
 * environment before it is loaded. Policies are their owners' business. Whoever has set it decides.
 */
process.env["ORT_DISABLE_TELEMETRY"] ??= "1";
